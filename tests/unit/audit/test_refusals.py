"""Refusals in the audit trail: who, why, from where, how often; bounded, whatever comes."""

from __future__ import annotations

import threading

import pytest
from portal import audit, db
from portal.audit import AuditEvent, Wanted
from portal.audit.refusals import EACH, KNOWN, PERIOD, STRANGER, STRANGERS, Refusals
from portal.context import Portal
from portal.core.errors import DatabaseTrouble
from portal.core.people import Origin
from support.fakes import FakeClock
from support.samples import JANE, TEST


@pytest.fixture
def refusals(portal: Portal) -> Refusals:
    return Refusals(portal, "api")


def noted(portal: Portal) -> list[AuditEvent]:
    return audit.read(portal, TEST, Wanted(kind="access"))[::-1]


def test_the_first_is_an_event_at_once_with_all_that_is_known(
    portal: Portal, refusals: Refusals
) -> None:
    where = Origin("192.0.2.7", "b" * 32)
    card = {"certificate": "ab" * 32, "serial": "7", "issuer": "CN=CA"}
    refusals.note("disabled", JANE.subject, where, "8443 GET /containers", lambda: card)
    refusals.write()
    [event] = noted(portal)
    assert (event.actor, event.action, event.subject) == (
        JANE.subject,
        "access.refused",
        "access:api",
    )
    assert event.details == {
        "way": "api",
        "code": "disabled",
        "asked": "8443 GET /containers",
        **card,
        "address": "192.0.2.7",
        "request_id": "b" * 32,
    }


def test_what_follows_is_counted_and_told_when_the_period_is_over(
    portal: Portal, refusals: Refusals, clock: FakeClock
) -> None:
    for _ in range(500):
        refusals.note("not_yours", JANE.subject, Origin("192.0.2.7"))
        refusals.write()
    assert len(noted(portal)) == 1
    clock.forward(PERIOD.total_seconds())
    refusals.write()
    _, again = noted(portal)
    assert (again.details["count"], again.details["code"]) == (499, "not_yours")
    assert again.details["since"] < again.details["until"]
    refusals.write()
    assert len(noted(portal)) == 2


def test_a_flood_of_strangers_adds_few_events_and_hides_nobody_with_a_name(
    portal: Portal, refusals: Refusals, clock: FakeClock
) -> None:
    flood = 10_000
    for number in range(flood):
        address = f"198.51.{number >> 8}.{number & 255}"
        refusals.note("no_certificate", STRANGER, Origin(address))
    refusals.note("not_yours", JANE.subject, Origin("192.0.2.7"))
    refusals.write()
    assert [event.actor for event in noted(portal)] == [*[STRANGER] * STRANGERS, JANE.subject]
    clock.forward(PERIOD.total_seconds())
    refusals.write()
    assert len(noted(portal)) == STRANGERS + 2
    assert noted(portal)[-1].details["count"] == flood - STRANGERS


def test_names_too_are_told_apart_up_to_a_number(
    portal: Portal, refusals: Refusals, clock: FakeClock
) -> None:
    for number in range(KNOWN + 50):
        refusals.note("disabled", f"edipi:{number:010}", Origin("192.0.2.7"))
    refusals.close()
    *_, others = noted(portal)
    assert len(noted(portal)) == KNOWN + 1
    assert (others.actor, others.details["count"]) == ("people", 50)


def test_what_cannot_be_written_now_is_written_later(
    portal: Portal, refusals: Refusals, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        refusals.note("disabled", JANE.subject, Origin("192.0.2.7"))
    clock.forward(PERIOD.total_seconds())
    with monkeypatch.context() as patched:

        def away(*_: object, **__: object) -> None:
            raise DatabaseTrouble("database_away", "It is away.", "Wait.")

        patched.setattr(db.audit, "append", away)
        refusals.write()
    refusals.note("disabled", JANE.subject, Origin("192.0.2.7"))
    assert not noted(portal)
    refusals.close()
    first, *_ = noted(portal)
    assert "count" not in first.details
    assert sum(event.details.get("count", 0) for event in noted(portal)) == 3


def test_many_at_once_are_all_counted(portal: Portal, refusals: Refusals) -> None:
    def knock() -> None:
        for _ in range(1000):
            refusals.note("no_certificate", STRANGER, Origin("192.0.2.7"))

    threads = [threading.Thread(target=knock) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refusals.close()
    first, again = noted(portal)
    assert "count" not in first.details
    assert again.details["count"] == 7999


def test_a_flood_while_the_database_is_away_stays_bounded(
    portal: Portal, refusals: Refusals, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise DatabaseTrouble("database_away", "It is away.", "Wait.")

    with monkeypatch.context() as patched:
        patched.setattr(db.audit, "append", away)
        for minute in range(100):
            for number in range(50):
                address = Origin(f"198.51.{minute}.{number}")
                refusals.note("no_certificate", STRANGER, address)
                refusals.note("disabled", f"edipi:{minute * 50 + number:010}", address)
            clock.forward(60)
            refusals.write()
    assert not noted(portal)
    refusals.close()
    told = noted(portal)
    assert len(told) <= 2 * (STRANGERS + KNOWN) + 2 * 2
    assert sum(event.details.get("count", 1) for event in told) == 10_000


def test_nobody_takes_the_places_of_others(portal: Portal, refusals: Refusals) -> None:
    for number in range(500):
        refusals.note("not_yours", JANE.subject, Origin(f"2001:db8::{number:x}"))
    refusals.note("disabled", "edipi:0000000009", Origin("192.0.2.9"))
    refusals.write()
    assert [event.actor for event in noted(portal)].count("edipi:0000000009") == 1
    assert [event.actor for event in noted(portal)].count(JANE.subject) == EACH
