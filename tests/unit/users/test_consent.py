"""The notice: accepted once for each session and text, before anything else."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from portal import audit, users
from portal.audit import Wanted
from portal.context import Portal
from portal.core.errors import Conflict, Forbidden, Unavailable
from portal.core.models import Deployment
from portal.core.people import Origin, User
from portal.deployments import gateway, ssh_access
from portal.users import consent
from support.fakes import FakeClock
from support.samples import JANE, TEST

TEXT = "You use a system of the organisation.\n\nIt is watched."
DESK = Origin("192.0.2.7", "a" * 32)
Changed = Callable[[str], None]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "notice.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture
def asking(portal: Portal, file: Path, monkeypatch: pytest.MonkeyPatch) -> Portal:
    """The portal, with a notice that is read anew at each question."""
    monkeypatch.setattr(consent, "LOOK_EVERY_S", 0.0)
    settings = portal.settings.model_copy(update={"consent_file": file})
    return replace(portal, settings=settings)


def accept(portal: Portal, jane: User) -> None:
    wanted = consent.notice(portal)
    assert wanted
    consent.accept(portal, jane, JANE, wanted.hash, DESK)


def test_without_one_nothing_is_asked(portal: Portal, jane: User) -> None:
    assert consent.notice(portal) is None
    consent.check(portal, jane, JANE)


def test_it_is_accepted_with_an_event_that_names_the_text(asking: Portal, jane: User) -> None:
    with pytest.raises(Forbidden, match="read and accept"):
        consent.check(asking, jane, JANE)
    accept(asking, jane)
    consent.check(asking, jane, JANE)
    [event] = audit.read(asking, TEST, Wanted(kind="access"))
    assert (event.actor, event.action) == (jane.subject, "access.consented")
    assert event.details["text"] == hashlib.sha256(TEXT.encode()).hexdigest()
    assert (event.details["certificate"], event.details["address"]) == (
        JANE.fingerprint,
        "192.0.2.7",
    )


def test_a_new_text_is_asked_for_again(asking: Portal, jane: User, file: Path) -> None:
    accept(asking, jane)
    old = consent.notice(asking)
    file.write_text("Other words.", encoding="utf-8")
    with pytest.raises(Forbidden):
        consent.check(asking, jane, JANE)
    assert old
    with pytest.raises(Conflict, match="changed meanwhile"):
        consent.accept(asking, jane, JANE, old.hash, DESK)
    accept(asking, jane)
    consent.check(asking, jane, JANE)


def test_so_is_each_after_signing_out_and_after_long_without_use(
    asking: Portal, jane: User, clock: FakeClock
) -> None:
    accept(asking, jane)
    clock.forward(60)
    users.sign_out(asking, jane)
    signed_out = users.user_of(asking, JANE)
    with pytest.raises(Forbidden):
        consent.check(asking, signed_out, JANE)
    clock.forward(1)
    accept(asking, signed_out)
    hours = timedelta(hours=asking.settings.consent_hours).total_seconds()
    for _ in range(5):  # in use all the while
        clock.forward(hours - 60)
        consent.check(asking, signed_out, JANE)
    clock.forward(hours)
    with pytest.raises(Forbidden):
        consent.check(asking, signed_out, JANE)


def test_another_card_is_another_session(asking: Portal, jane: User) -> None:
    accept(asking, jane)
    with pytest.raises(Forbidden):
        consent.check(asking, jane, replace(JANE, fingerprint="9" * 64))


def test_notebook_ports_wait_for_it_too_and_their_use_goes_on_counting(
    asking: Portal, jane: User, running: Deployment, clock: FakeClock
) -> None:
    with pytest.raises(Forbidden, match="read and accept"):
        gateway.route(asking, JANE, gateway.Door(10000))
    accept(asking, jane)
    hours = timedelta(hours=asking.settings.consent_hours).total_seconds()
    for _ in range(3):
        clock.forward(hours - 60)
        gateway.touch(asking, gateway.route(asking, JANE, gateway.Door(10000)), JANE, DESK)
    clock.forward(hours)
    with pytest.raises(Forbidden):
        gateway.route(asking, JANE, gateway.Door(10000))


def test_ssh_asks_at_each_connection_and_ends_none(
    asking: Portal, jane: User, clock: FakeClock
) -> None:
    login = ssh_access.login(asking, jane.subject)
    assert login.refusal is None
    assert login.consent
    accept(asking, jane)
    assert ssh_access.login(asking, jane.subject).consent is None
    clock.forward(timedelta(days=2).total_seconds())
    assert ssh_access.login(asking, jane.subject).refusal is None


@pytest.mark.parametrize("content", [b"", b"  \n", b"\xff\xfe", b"x" * (consent.MAX_BYTES + 1)])
def test_a_file_that_is_no_notice_lets_nobody_in_unasked(
    asking: Portal, jane: User, file: Path, content: bytes
) -> None:
    file.write_bytes(content)
    with pytest.raises(Unavailable, match="cannot be read"):
        consent.check(asking, jane, JANE)


def test_a_file_that_is_away_for_a_moment_stays_as_it_was(
    asking: Portal, jane: User, file: Path
) -> None:
    accept(asking, jane)
    file.rename(file.with_suffix(".old"))
    consent.check(asking, jane, JANE)
