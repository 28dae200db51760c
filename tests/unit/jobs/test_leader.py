"""One worker acts; one that died is followed at once, and its claims are free."""

from __future__ import annotations

import pytest
from portal import db, deployments
from portal.context import Portal
from portal.core.errors import DatabaseTrouble, LockLost
from portal.core.models import Order, State
from portal.core.people import User
from portal.jobs import leader
from portal.jobs.claim import Work
from portal.jobs.leader import Leader
from portal.jobs.reconciler import Reconciler
from support.fakes import FakeClock, FakeEngine

DEAD_S = leader.TTL.total_seconds() + 0.1


@pytest.fixture(autouse=True)
def always_renew(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of the tests is not that of time.monotonic()."""
    monkeypatch.setattr(leader, "RENEW_S", 0.0)


def test_of_two_workers_one_leads_and_stays_it(portal: Portal, clock: FakeClock) -> None:
    first, second = Leader(portal), Leader(portal)
    for _ in range(5):
        assert (first.renew(), second.renew()) == (True, False)
        clock.forward(1)


def test_one_that_died_is_followed_and_what_it_claimed_is_free_at_once(
    portal: Portal, jane: User, clock: FakeClock
) -> None:
    first, second = Leader(portal), Leader(portal)
    first.renew()
    made = deployments.request(portal, jane, Order("ml-cpu", "first"))
    held = Work.claim(portal, made.id)
    assert held
    clock.forward(DEAD_S)
    assert second.renew()
    assert Work.claim(portal, made.id) is not None
    with pytest.raises(LockLost):
        held.renew()
    assert not first.renew()  # it was only slow, and acts no more


def test_one_that_was_thought_dead_writes_nothing_any_more(
    portal: Portal, clock: FakeClock
) -> None:
    first, second = Leader(portal), Leader(portal)
    of_first, of_second = first.fenced(), second.fenced()
    first.renew()

    def note(of: Portal) -> None:
        with of.database.transaction() as tx:
            db.audit.append(tx, portal.now(), "worker", "vm.reachable", "vm:vm-01")

    note(of_first)
    clock.forward(DEAD_S)
    note(of_first)  # late, but nobody has taken over
    assert second.renew()
    with portal.database.reading() as tx:
        before = db.audit.head(tx)
    with pytest.raises(LockLost, match="another worker leads"):
        note(of_first)
    with portal.database.reading() as tx:
        assert db.audit.head(tx) == before
    note(of_second)
    note(portal)  # what anybody may do goes on


def test_a_pass_of_one_that_was_thought_dead_changes_nothing(
    portal: Portal, jane: User, clock: FakeClock
) -> None:
    engine = FakeEngine()
    slow = Reconciler(portal, lambda vm: engine, lambda vm, port: True, lambda release: None)
    slow.turn()
    clock.forward(DEAD_S)
    assert Leader(portal).renew()
    made = deployments.request(portal, jane, Order("ml-cpu", "first"))
    with pytest.raises(LockLost):
        Work.claim(slow._portal, made.id)
    for job in slow.dispatch():  # as if it had not noticed
        job.result()
    assert engine.boxes == {}
    with portal.database.reading() as tx:
        assert db.deployments.by_id(tx, made.id) == made


def test_one_that_ends_in_order_leaves_at_once(portal: Portal) -> None:
    first, second = Leader(portal), Leader(portal)
    first.renew()
    first.give_up()
    assert second.renew()


def test_a_leader_that_was_slow_goes_on_when_nobody_followed(
    portal: Portal, jane: User, clock: FakeClock
) -> None:
    first = Leader(portal)
    first.renew()
    made = deployments.request(portal, jane, Order("ml-cpu", "first"))
    held = Work.claim(portal, made.id)
    clock.forward(DEAD_S)
    assert held
    assert first.renew()
    held.renew()  # its claims go on, too


def test_a_leader_that_could_not_write_for_a_while_keeps_its_claims(
    portal: Portal, jane: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Leader(portal)
    first.renew()
    made = deployments.request(portal, jane, Order("ml-cpu", "first"))
    held = Work.claim(portal, made.id)
    assert held

    def busy(*_: object) -> bool:
        raise DatabaseTrouble("database_busy", "It is busy.")

    with monkeypatch.context() as patched:
        patched.setattr(db.leaders, "take", busy)
        with pytest.raises(DatabaseTrouble):
            first.renew()
    assert not first.leads
    assert first.renew()
    held.renew()


@pytest.mark.parametrize("jump_s", [3600, -3600])
def test_a_clock_that_jumps_keeps_nobody_from_leading_or_working(
    portal: Portal, jane: User, clock: FakeClock, jump_s: float
) -> None:
    first, second = Leader(portal), Leader(portal)
    first.renew()
    made = deployments.request(portal, jane, Order("ml-cpu", "first"))
    assert Work.claim(portal, made.id)  # and dies here
    clock.forward(jump_s)
    assert second.renew()
    assert Work.claim(portal, made.id)


def test_a_standby_starts_nothing(portal: Portal, jane: User) -> None:
    Leader(portal).renew()
    made = deployments.request(portal, jane, Order("ml-cpu", "first"))
    engine = FakeEngine()
    standby = Reconciler(portal, lambda vm: engine, lambda vm, port: True, lambda release: None)
    standby.turn()
    assert standby.turns
    with portal.database.reading() as tx:
        seen = db.deployments.by_id(tx, made.id)
    assert seen and seen.state is State.PENDING
