"""Who may come in: disabled, dormant and retired accounts, and whose connections end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from portal import db, deployments, users
from portal.context import Portal
from portal.core.errors import Conflict, Forbidden, Invalid, NotAuthenticated
from portal.core.models import Deployment, Order, State, Vm
from portal.core.people import Account, Certificate, Origin, Role, User
from portal.deployments import gateway
from portal.users import certificates
from portal.users.evictions import Evictions
from support.fakes import FakeClock
from support.samples import JANE, JOHN, TEST, actions

REASON = "lost her card"
DAYS = 90
RANGE = 0
Running = Deployment


@pytest.fixture
def revoked() -> set[str]:
    """Fingerprints."""
    return set()


@pytest.fixture
def due(portal: Portal, revoked: set[str], running: Running) -> Callable[[], list[int]]:
    """Asks about the range of whoever has a container that runs."""
    evictions = Evictions(portal, lambda card: card.fingerprint in revoked)
    return lambda: evictions.due({RANGE: None})


@pytest.fixture
def off(portal: Portal) -> Portal:
    return replace(portal, settings=portal.settings.model_copy(update={"dormant_days": 0}))


def cards_of(portal: Portal, user: User) -> list[Certificate]:
    with portal.database.reading() as tx:
        return db.certificates.of_user(tx, user.id)


def test_who_is_disabled_is_out_everywhere_until_enabled(
    portal: Portal, jane: User, running: Running
) -> None:
    assert deployments.disable(portal, TEST, jane.subject, REASON) == []
    for way_in in (
        lambda: users.user_of(portal, JANE),
        lambda: gateway.route(portal, JANE, gateway.Door(10000)),
    ):
        with pytest.raises(Forbidden) as refused:
            way_in()
        assert refused.value.code == "disabled"
        assert REASON not in str(refused.value)
    assert deployments.get(portal, jane, running.id).state is State.RUNNING
    users.enable(portal, TEST, jane.subject)
    assert users.user_of(portal, JANE).disabled_by == ""
    assert gateway.route(portal, JANE, gateway.Door(10000))
    assert actions(portal, jane.subject)[-2:] == ["user.disabled", "user.enabled"]


def test_containers_of_who_is_disabled_stop_where_asked(
    portal: Portal, jane: User, running: Running, work_off: Callable[[str], Deployment]
) -> None:
    [stopping] = deployments.disable(portal, TEST, jane.subject, REASON, stop=True)
    assert (stopping.id, stopping.stop_note) == (running.id, REASON)
    assert work_off(running.id).state is State.STOPPED


def test_who_is_disabled_waits_for_nothing(
    portal: Portal, jane: User, john: User, gpu_vm: Vm, work_off: Callable[[str], Deployment]
) -> None:
    work_off(deployments.request(portal, john, Order("ml-cpu", "all", gpus=2)).id)
    waits = deployments.request(portal, jane, Order("ml-cpu", "queued", gpus=1))
    assert waits.state is State.WAITING
    deployments.disable(portal, TEST, jane.subject, REASON)
    assert deployments.get(portal, jane, waits.id).state is State.STOPPED


def test_what_disabling_cannot_mean_is_refused(portal: Portal, jane: User, john: User) -> None:
    with pytest.raises(Forbidden):
        deployments.disable(portal, john, jane.subject, REASON)
    with pytest.raises(Invalid):
        deployments.disable(portal, TEST, jane.subject, " ")
    with pytest.raises(Invalid):
        users.end_sessions(portal, TEST, jane.subject, "")
    with pytest.raises(Conflict):
        users.enable(portal, TEST, jane.subject)
    users.set_role(portal, TEST, jane.subject, Role.ADMIN)
    with pytest.raises(Forbidden):
        deployments.disable(portal, users.user_of(portal, JANE), jane.subject, REASON)
    deployments.disable(portal, TEST, jane.subject, REASON)
    with pytest.raises(Conflict):
        deployments.disable(portal, TEST, jane.subject, REASON)
    with pytest.raises(Conflict):
        users.merge(portal, TEST, john.subject, jane.subject)
    deployments.retire(portal, TEST, jane.subject, REASON)
    for change in (
        lambda: users.enable(portal, TEST, jane.subject),
        lambda: deployments.disable(portal, TEST, jane.subject, REASON),
    ):
        with pytest.raises(Conflict):
            change()


def test_an_account_that_nobody_used_is_locked(
    portal: Portal, off: Portal, jane: User, clock: FakeClock
) -> None:
    clock.forward(timedelta(days=DAYS).total_seconds())
    assert users.user_of(portal, JANE)
    clock.forward(timedelta(days=DAYS, seconds=1).total_seconds())
    assert users.account(portal, jane) is Account.DORMANT
    with pytest.raises(Forbidden, match="90 days"):
        users.user_of(portal, JANE)
    assert users.account(off, jane) is Account.ACTIVE
    users.enable(portal, TEST, jane.subject)
    assert users.user_of(portal, JANE)


def test_who_works_in_a_notebook_alone_is_not_dormant(
    portal: Portal, jane: User, running: Running, clock: FakeClock
) -> None:
    for _ in range(4):
        clock.forward(timedelta(days=DAYS / 2).total_seconds())
        gateway.touch(portal, gateway.route(portal, JANE, gateway.Door(10000)), JANE)


def test_an_account_from_before_is_not_dormant(
    portal: Portal, jane: User, clock: FakeClock
) -> None:
    with portal.database.transaction() as tx:
        db.users.update(tx, jane.id, last_seen_at=None)
    clock.forward(timedelta(days=10 * DAYS).total_seconds())
    assert users.user_of(portal, JANE)


def test_when_and_from_where_somebody_came_is_noted_to_the_hour(
    portal: Portal, jane: User, clock: FakeClock
) -> None:
    begun = clock()
    clock.forward(3599)
    users.user_of(portal, JANE, Origin("192.0.2.7"))
    [card] = cards_of(portal, jane)
    assert (card.last_seen_at, card.last_address) == (begun, "")
    clock.forward(1)
    users.user_of(portal, JANE, Origin("192.0.2.7"))
    [card] = cards_of(portal, jane)
    assert (card.last_seen_at, card.last_address) == (clock(), "192.0.2.7")
    assert users.user_of(portal, JANE).last_seen_at == clock()


def test_who_comes_reads_when_and_from_where_they_came_last(
    portal: Portal, clock: FakeClock
) -> None:
    assert users.last_visit(portal, JANE.subject) is None
    users.user_of(portal, JANE, Origin("192.0.2.7"))
    began = clock()
    clock.forward(7200)
    assert users.last_visit(portal, JANE.subject) == (began, "192.0.2.7")
    users.user_of(portal, JANE, Origin("192.0.2.8"))
    assert users.last_visit(portal, JANE.subject) == (clock(), "192.0.2.8")


def test_connections_of_who_is_out_end_and_nobody_knocks_for_ever(
    portal: Portal, jane: User, due: Callable[[], list[int]], clock: FakeClock
) -> None:
    assert due() == []
    for _ in range(2):
        deployments.disable(portal, TEST, jane.subject, REASON)
        assert due() == [RANGE]
        clock.forward(4)
        assert due() == [RANGE]
        clock.forward(4)
        assert due() == []  # the gateway lets no new one through
        users.enable(portal, TEST, jane.subject)
        assert due() == []


def test_connections_end_for_a_moment_when_one_of_several_cards_is_revoked(
    portal: Portal,
    jane: User,
    due: Callable[[], list[int]],
    revoked: set[str],
    clock: FakeClock,
) -> None:
    users.user_of(portal, replace(JANE, fingerprint="2" * 64))
    assert due() == []
    revoked.add("2" * 64)
    assert due() == [RANGE]
    clock.forward(4)
    assert due() == [RANGE]  # the gateway may have said yes once more
    clock.forward(4)
    assert due() == []  # the other card goes on


def test_connections_end_when_a_card_expires(
    due: Callable[[], list[int]], clock: FakeClock, off: Portal
) -> None:
    assert due() == []
    clock.at = JANE.not_after - timedelta(seconds=1)
    evictions = Evictions(off, lambda _: False)
    assert evictions.due({RANGE: None}) == []
    clock.forward(1)
    with off.database.transaction() as tx:
        db.certificates.seen(tx, JANE.fingerprint, clock(), "")
    assert evictions.due({RANGE: None}) == [RANGE]


def test_a_card_that_nobody_used_for_long_ends_nothing_when_the_service_starts(
    portal: Portal, due: Callable[[], list[int]], revoked: set[str], clock: FakeClock
) -> None:
    revoked.add(JANE.fingerprint)
    clock.forward(timedelta(days=31).total_seconds())
    assert due() == []


def test_a_card_that_opens_notebooks_alone_is_used(
    portal: Portal,
    running: Running,
    due: Callable[[], list[int]],
    revoked: set[str],
    clock: FakeClock,
) -> None:
    clock.forward(timedelta(days=31).total_seconds())
    route = gateway.route(portal, JANE, gateway.Door(10000))
    gateway.touch(portal, route, JANE, Origin("192.0.2.9"))
    revoked.add(JANE.fingerprint)
    assert due() == [RANGE]


def test_two_people_who_were_taken_for_one_lose_what_they_have_open(
    portal: Portal, jane: User, john: User, due: Callable[[], list[int]], clock: FakeClock
) -> None:
    users.merge(portal, TEST, jane.subject, john.subject)
    assert users.user_of(portal, JOHN).id == jane.id
    assert due() == []
    clock.forward(1)
    users.unmerge(portal, TEST, john.subject)
    assert due() == [RANGE]
    assert users.user_of(portal, JOHN).sessions_ended_at == clock()


def test_a_merge_does_not_lock_who_was_here_just_now(
    portal: Portal, jane: User, john: User, clock: FakeClock
) -> None:
    clock.forward(timedelta(days=DAYS - 1).total_seconds())
    users.user_of(portal, JOHN)
    clock.forward(timedelta(days=2).total_seconds())
    users.merge(portal, TEST, jane.subject, john.subject)
    assert users.user_of(portal, JANE).id == jane.id


def test_a_clock_that_was_wrong_at_sign_out_keeps_nobody_out(
    portal: Portal, jane: User, clock: FakeClock
) -> None:
    clock.forward(86_400)
    users.sign_out(portal, jane)
    clock.forward(-86_400)
    users.check_session(portal, users.user_of(portal, JANE), clock())


def test_whoever_is_read_by_another_name_stays_who_they_were(portal: Portal, jane: User) -> None:
    again = replace(JANE, subject="upn:jane@corp.example")
    assert users.user_of(portal, again).id == jane.id
    assert users.user_of(portal, JANE).id == jane.id
    assert actions(portal, jane.subject)[-1] == "user.other_name"


def test_an_administrator_ends_what_somebody_has_open_once(
    portal: Portal, jane: User, due: Callable[[], list[int]], clock: FakeClock
) -> None:
    assert due() == []
    users.end_sessions(portal, TEST, jane.subject, REASON)
    assert due() == [RANGE]
    clock.forward(20)
    assert due() == []
    users.end_sessions(portal, TEST, jane.subject, REASON)
    assert due() == [RANGE]
    assert actions(portal, jane.subject)[-1] == "user.sessions_ended"


def test_who_signs_out_ends_what_they_have_open(
    portal: Portal, jane: User, due: Callable[[], list[int]], clock: FakeClock
) -> None:
    assert due() == []
    began = clock()
    clock.forward(1)
    users.sign_out(portal, jane)
    assert due() == [RANGE]
    now = users.user_of(portal, JANE)  # who comes again comes in
    users.check_session(portal, now, clock())
    with pytest.raises(NotAuthenticated):
        users.check_session(portal, now, began)
    assert actions(portal, jane.subject)[-1] == "user.signed_out"


@pytest.mark.parametrize("event", ["session", "card"])
def test_what_was_opened_after_somebody_came_back_stays_open(
    portal: Portal, running: Running, revoked: set[str], clock: FakeClock, event: str
) -> None:
    """Nothing was open when it happened, so nobody asked then."""
    evictions = Evictions(portal, lambda card: card.fingerprint in revoked)
    began = clock()
    if event == "session":
        users.end_sessions(portal, TEST, JANE.subject, REASON)
    else:
        users.user_of(portal, replace(JANE, fingerprint="2" * 64))
        revoked.add(JANE.fingerprint)
        clock.forward(timedelta(hours=2).total_seconds())
    clock.forward(30)
    assert evictions.due({RANGE: clock()}) == []
    assert evictions.due({RANGE: began}, "another gateway") == [RANGE]
    clock.forward(1)
    assert evictions.due({RANGE: clock()}) == []


def test_strangers_who_knock_at_ports_that_are_nobodys_end_nothing(
    portal: Portal, john: User
) -> None:
    assert Evictions(portal, lambda _: False).due({0: None, 7: None}) == []


def test_nobody_elses_connections_end(
    portal: Portal, jane: User, john: User, running: Running
) -> None:
    deployments.request(portal, john, Order("ml-cpu", "his", memory_gb=1))
    deployments.disable(portal, TEST, jane.subject, REASON)
    assert Evictions(portal, lambda _: False).due({0: None, 1: None}) == [0]
    assert users.user_of(portal, JOHN).range_index == 1


def test_an_administrator_sees_each_card_and_when_it_was_used(
    portal: Portal, jane: User, john: User, revoked: set[str], clock: FakeClock
) -> None:
    asked = replace(portal, is_revoked=lambda card: card.fingerprint in revoked)
    lost = replace(JANE, fingerprint="2" * 64)
    users.user_of(portal, lost, Origin("192.0.2.7"))
    revoked.add(lost.fingerprint)
    uses = {use.fingerprint: use for use in certificates.of_user(asked, TEST, jane.subject)}
    assert (uses["2" * 64].state, uses["2" * 64].last_address) == ("revoked", "192.0.2.7")
    assert uses[JANE.fingerprint].state == "good"
    clock.at = JANE.not_after
    assert {each.state for each in certificates.of_user(portal, TEST, jane.subject)} == {"expired"}
    with pytest.raises(Forbidden):
        certificates.of_user(portal, john, jane.subject)
