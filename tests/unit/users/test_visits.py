"""Events of access: one for each session, whatever is asked for meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from portal import audit, deployments, users
from portal.audit import AuditEvent, Wanted
from portal.context import Portal
from portal.core.models import Deployment, Order
from portal.core.people import Identity, Origin, User
from portal.deployments import gateway
from portal.users import visits
from support.fakes import FakeClock
from support.samples import JANE, TEST

DESK = Origin("192.0.2.7", "a" * 32)


def accesses(portal: Portal) -> list[AuditEvent]:
    return audit.read(portal, TEST, Wanted(kind="access"))[::-1]


def test_a_sign_in_is_an_event_with_certificate_address_and_request(
    portal: Portal, jane: User
) -> None:
    card = replace(JANE, serial="1a2b", issuer="CN=Issuing CA")
    users.user_of(portal, card, DESK)
    [event] = accesses(portal)
    assert (event.actor, event.action) == (jane.subject, "access.signed_in")
    assert event.details == {
        "certificate": JANE.fingerprint,
        "serial": "1a2b",
        "issuer": "CN=Issuing CA",
        "address": "192.0.2.7",
        "request_id": "a" * 32,
    }


def test_one_session_is_one_event_until_a_pause(
    portal: Portal, jane: User, clock: FakeClock
) -> None:
    for _ in range(20):
        users.user_of(portal, JANE, DESK)
        clock.forward((visits.PAUSE - timedelta(minutes=1)).total_seconds())
    assert len(accesses(portal)) == 1
    clock.forward(visits.PAUSE.total_seconds())
    users.user_of(portal, JANE, DESK)
    assert len(accesses(portal)) == 2


@pytest.mark.parametrize(
    ("card", "origin"),
    [(JANE, Origin("192.0.2.8")), (replace(JANE, fingerprint="9" * 64), DESK)],
)
def test_another_address_or_card_is_another_session(
    portal: Portal, jane: User, card: Identity, origin: Origin
) -> None:
    users.user_of(portal, JANE, DESK)
    users.user_of(portal, card, origin)
    users.user_of(portal, JANE, DESK)
    assert len(accesses(portal)) == 2


def test_after_signing_out_it_is_another_one(portal: Portal, jane: User, clock: FakeClock) -> None:
    users.user_of(portal, JANE, DESK)
    clock.forward(60)
    users.end_sessions(portal, TEST, jane.subject, "a lost laptop")
    clock.forward(1)
    users.user_of(portal, JANE, DESK)
    assert len(accesses(portal)) == 2


def test_a_port_is_another_place_with_its_container(
    portal: Portal, jane: User, running: Deployment, clock: FakeClock
) -> None:
    for _ in range(3):
        gateway.touch(portal, gateway.route(portal, JANE, gateway.Door(10000)), JANE, DESK)
        clock.forward(60)
    gateway.touch(portal, gateway.route(portal, JANE, gateway.Door(10001)), JANE, DESK)
    notebook, board = accesses(portal)
    assert notebook.action == board.action == "access.port_opened"
    assert notebook.subject == f"deployment:{running.id}"
    assert (notebook.details["port"], notebook.details["service"]) == (10000, "jupyter")
    assert board.details["service"] == "tensorboard"


def test_the_next_container_at_the_same_port_is_another_place(
    portal: Portal, jane: User, running: Deployment, work_off: Callable[..., Deployment]
) -> None:
    gateway.touch(portal, gateway.route(portal, JANE, gateway.Door(10000)), JANE, DESK)
    deployments.act(portal, jane, running.id, "remove")
    work_off(running.id)
    other = work_off(deployments.request(portal, jane, Order("ml-cpu", "second")).id)
    gateway.touch(portal, gateway.route(portal, JANE, gateway.Door(10000)), JANE, DESK)
    assert [event.subject for event in accesses(portal)] == [
        f"deployment:{running.id}",
        f"deployment:{other.id}",
    ]


@pytest.mark.parametrize(
    ("back_s", "events"), [(0.2, 1), (3600, 2)], ids=["slower than another", "a clock set back"]
)
def test_an_earlier_time_begins_a_session_anew_only_where_a_clock_was_set_back(
    portal: Portal, jane: User, clock: FakeClock, back_s: float, events: int
) -> None:
    """A request's time may have been read before that of one that was faster was written."""
    users.user_of(portal, JANE, DESK)
    clock.forward(-back_s)
    users.user_of(portal, JANE, DESK)
    assert len(accesses(portal)) == events


def test_what_comes_through_no_gateway_is_no_session(portal: Portal, jane: User) -> None:
    users.user_of(portal, JANE)
    assert not accesses(portal)


def test_old_ones_are_forgotten_and_stay_in_the_trail(
    portal: Portal, jane: User, clock: FakeClock
) -> None:
    users.user_of(portal, JANE, DESK)
    clock.forward(visits.KEPT.total_seconds() + 1)
    visits.forget_old(portal)
    assert len(accesses(portal)) == 1
