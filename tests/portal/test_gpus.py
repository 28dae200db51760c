"""GPUs by lease, quotas and the line, through the use cases: real SQLite, fake engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from fakes import FakeClock, FakeEngine
from portal import admission, audit, board, deployments, inventory, ledger, quotas, store, users
from portal.context import Portal
from portal.engine import GpuReport, SeenGpu
from portal.errors import Conflict, Forbidden, Invalid, NoCapacity
from portal.models import Deployment, GpuState, Order, Quota, State, User, Vm
from samples import JANE

WorkOff = Callable[..., Deployment]


def report(count: int = 2, **changes: object) -> GpuReport:
    gpus = tuple(SeenGpu(f"GPU-{n}", n, "A100", None, 40, 0, 0, 40) for n in range(count))
    return replace(GpuReport(gpus, "535.104.05", "12.2", "nvidia"), **changes)  # type: ignore[arg-type]


def see(portal: Portal, seen: GpuReport, name: str = "vm-01") -> Vm:
    """Let the worker look at a VM's GPUs."""
    with portal.store.reading() as tx:
        vm = store.vm_by_name(tx, name)
    assert vm
    inventory.saw_gpus(portal, vm, seen)
    return vm


@pytest.fixture
def gpu_vm(portal: Portal) -> Vm:
    """vm-01 with two GPUs and 64 GB."""
    with portal.store.transaction() as tx:
        store.update_vm(tx, 1, cpus=16, memory_gb=64)
    return see(portal, report())


def serve(portal: Portal) -> list[str]:
    """The line moves up, as in the worker's next pass."""
    with portal.store.transaction() as tx:
        return [one.id for one in admission.serve(portal, tx)]


def held(portal: Portal) -> dict[str, str]:
    with portal.store.reading() as tx:
        return ledger.leased_gpus(tx)


def ask(portal: Portal, user: User, name: str, gpus: int = 1, **more: object) -> Deployment:
    return deployments.request(portal, user, Order("ml-cpu", name, gpus, **more))  # type: ignore[arg-type]


def test_the_container_gets_exactly_its_gpus(
    portal: Portal, jane: User, john: User, gpu_vm: Vm, engine: FakeEngine, work_off: WorkOff
) -> None:
    first, second = ask(portal, jane, "one"), ask(portal, john, "two")
    for made in (first, second):
        assert work_off(made.id).state is State.RUNNING
    given = [engine.boxes[f"portal-{made.id}"].spec.gpus for made in (first, second)]
    assert given == [("GPU-0",), ("GPU-1",)]
    assert held(portal) == {"GPU-0": first.id, "GPU-1": second.id}
    assert engine.boxes[f"portal-{first.id}"].spec.gpu_access == "nvidia"


def test_who_comes_when_all_are_busy_waits_and_starts_by_themselves(
    portal: Portal, jane: User, john: User, gpu_vm: Vm, work_off: WorkOff
) -> None:
    mine = ask(portal, jane, "both", 2)
    work_off(mine.id)
    his = ask(portal, john, "later")
    assert (his.state, his.position, his.vm) == (State.WAITING, 1, None)
    assert his.waits_for == "vm-01: 0 of 2 GPUs free, 1 asked for"
    assert serve(portal) == []
    deployments.act(portal, jane, mine.id, "remove")
    work_off(mine.id)
    assert serve(portal) == [his.id]
    assert work_off(his.id).state is State.RUNNING
    assert held(portal) == {"GPU-0": his.id}


def test_stopping_gives_gpus_back_and_starting_asks_again(
    portal: Portal, jane: User, john: User, gpu_vm: Vm, engine: FakeEngine, work_off: WorkOff
) -> None:
    mine = ask(portal, jane, "mine", 2)
    work_off(mine.id)
    deployments.act(portal, jane, mine.id, "stop")
    stopped = work_off(mine.id)
    assert (stopped.state, stopped.gpu_uuids, held(portal)) == (State.STOPPED, (), {})
    his = ask(portal, john, "his")
    work_off(his.id)
    assert deployments.act(portal, jane, mine.id, "start").state is State.WAITING
    deployments.act(portal, john, his.id, "stop")
    work_off(his.id)
    assert serve(portal) == [mine.id]
    assert work_off(mine.id).state is State.RUNNING
    assert engine.boxes[f"portal-{mine.id}"].spec.gpus == ("GPU-0", "GPU-1")


def test_a_container_that_gets_other_gpus_than_before_is_made_anew(
    portal: Portal, jane: User, john: User, gpu_vm: Vm, engine: FakeEngine, work_off: WorkOff
) -> None:
    mine = ask(portal, jane, "mine")
    work_off(mine.id)
    assert engine.boxes[f"portal-{mine.id}"].spec.gpus == ("GPU-0",)
    deployments.act(portal, jane, mine.id, "stop")
    work_off(mine.id)
    work_off(ask(portal, john, "his").id)
    deployments.act(portal, jane, mine.id, "start")
    work_off(mine.id)
    assert engine.boxes[f"portal-{mine.id}"].spec.gpus == ("GPU-1",)


def test_a_restart_keeps_the_gpus(portal: Portal, jane: User, gpu_vm: Vm, work_off: WorkOff) -> None:
    mine = ask(portal, jane, "mine", 2)
    work_off(mine.id)
    deployments.act(portal, jane, mine.id, "restart")
    assert work_off(mine.id).state is State.PENDING
    assert held(portal) == {"GPU-0": mine.id, "GPU-1": mine.id}
    assert work_off(mine.id).state is State.RUNNING


def test_a_place_in_line_can_be_left(portal: Portal, jane: User, john: User, gpu_vm: Vm) -> None:
    ask(portal, jane, "mine", 2)
    first, second = ask(portal, john, "first"), ask(portal, john, "second")
    assert deployments.act(portal, john, first.id, "stop").state is State.STOPPED
    assert deployments.act(portal, john, first.id, "remove").state is State.REMOVED
    serve(portal)
    assert deployments.get(portal, john, second.id).position == 1
    assert deployments.act(portal, john, second.id, "remove").state is State.REMOVED
    with portal.store.reading() as tx:
        kinds = {(lease["kind"], lease["deployment_id"]) for lease in ledger.live_leases(tx)}
    assert not {one for one in kinds if one[1] in (first.id, second.id)}


@pytest.mark.parametrize(
    ("order", "code", "words"),
    [
        (Order("ml-cpu", "a", 2, gpu_model="H100"), "no_room", "has no H100 GPU"),
        (Order("ml-cpu", "a", 1, memory_gb=0), "bad_memory_gb", "at least 0.5 GB"),
        (Order("ml-cpu", "a", 3), "over_gpus", "more than the 2 left of the 2 you may use"),
        (Order("ml-cpu", "a", 1, cpus=float("inf")), "bad_cpus", "at least"),
    ],
)
def test_what_can_never_be_is_refused_at_once(
    portal: Portal, jane: User, gpu_vm: Vm, order: Order, code: str, words: str
) -> None:
    with pytest.raises((NoCapacity, Invalid, Forbidden), match=words) as refused:
        deployments.request(portal, jane, order)
    assert refused.value.code == code
    with portal.store.reading() as tx:
        assert ledger.live_leases(tx) == []


def test_more_gpus_than_any_vm_has_never_wait(portal: Portal, jane: User, gpu_vm: Vm) -> None:
    quotas.set_quota(portal, "test", "user", jane.subject, Quota(gpus=8))
    with pytest.raises(NoCapacity, match="has 2 GPUs of one model, 4 asked for"):
        ask(portal, jane, "a", 4)


# --- quotas --------------------------------------------------------------------------------


def test_a_users_own_quota_beats_the_default_which_beats_the_settings(portal: Portal, jane: User) -> None:
    def limit() -> int:
        with portal.store.reading() as tx:
            return quotas.allowance(portal, tx, jane).gpus

    assert limit() == portal.settings.max_gpus
    quotas.set_quota(portal, "test", "default", "", Quota(gpus=3))
    assert limit() == 3
    quotas.set_quota(portal, "test", "user", jane.subject, Quota(gpus=5))
    assert limit() == 5
    quotas.set_quota(portal, "test", "user", jane.subject, None)
    assert limit() == 3


def test_waiting_counts_against_the_quota_too(portal: Portal, jane: User, john: User, gpu_vm: Vm) -> None:
    ask(portal, john, "all", 2)
    ask(portal, jane, "one", 2)
    with pytest.raises(Forbidden, match="more than the 0 left"):
        ask(portal, jane, "two", 1)


def test_a_groups_quota_is_shared_by_its_members_and_no_others(
    portal: Portal, jane: User, john: User, gpu_vm: Vm
) -> None:
    for who in (jane, john):
        quotas.set_group(portal, "test", who.subject, "vision")
    quotas.set_quota(portal, "test", "group", "vision", Quota(gpus=1))
    quotas.set_quota(portal, "test", "group", "language", Quota(gpus=0))
    members = [users.user_of(portal, JANE)]
    assert ask(portal, members[0], "mine").state is State.PENDING
    with portal.store.reading() as tx:
        john = store.user_by_subject(tx, john.subject) or john
    with pytest.raises(Forbidden, match="group vision may use"):
        ask(portal, john, "his")


def test_lowering_a_quota_below_use_ends_nothing_and_blocks_the_next(
    portal: Portal, jane: User, gpu_vm: Vm, work_off: WorkOff
) -> None:
    made = ask(portal, jane, "mine", 2)
    work_off(made.id)
    quotas.set_quota(portal, "test", "user", jane.subject, Quota(gpus=1))
    assert deployments.get(portal, jane, made.id).state is State.RUNNING
    with pytest.raises(Forbidden, match="more than the 0 left of the 1 you may use"):
        ask(portal, jane, "next")


def test_a_quota_lowered_while_somebody_waits_keeps_them_waiting(
    portal: Portal, jane: User, john: User, gpu_vm: Vm, work_off: WorkOff
) -> None:
    mine = ask(portal, jane, "mine", 2)
    work_off(mine.id)
    his = ask(portal, john, "his", 2)
    quotas.set_quota(portal, "test", "user", john.subject, Quota(gpus=1))
    deployments.act(portal, jane, mine.id, "remove")
    work_off(mine.id)
    assert serve(portal) == []
    waiting = deployments.get(portal, john, his.id)
    assert (waiting.state, waiting.waits_for) == (State.WAITING, "your quota: 1 GPUs, 0 held, 2 asked for")
    quotas.set_quota(portal, "test", "user", john.subject, None)
    assert serve(portal) == [his.id]


def test_what_is_being_removed_is_held_until_it_is_gone(
    portal: Portal, jane: User, gpu_vm: Vm, work_off: WorkOff
) -> None:
    quotas.set_quota(portal, "test", "user", jane.subject, Quota(gpus=1))
    mine = ask(portal, jane, "mine")
    work_off(mine.id)
    deployments.act(portal, jane, mine.id, "remove")
    with pytest.raises(Forbidden, match="0 left of the 1"):
        ask(portal, jane, "next")
    with pytest.raises(Conflict, match="mine"):
        inventory.remove(portal, "test", "vm-01")
    work_off(mine.id)
    assert ask(portal, jane, "next").state is State.PENDING


@pytest.mark.parametrize("amount", [-1, float("nan"), float("inf"), 1e21])
def test_a_quota_that_is_no_amount_is_refused(portal: Portal, amount: float) -> None:
    with pytest.raises(Invalid, match="from 0 to"):
        quotas.set_quota(portal, "test", "default", "", Quota(memory_gb=amount))


@pytest.mark.parametrize("name", ["a,b", "=cmd", "x" * 61, "ä", "a\n"])
def test_a_group_has_a_plain_name(portal: Portal, jane: User, name: str) -> None:
    with pytest.raises(Invalid, match="is no group name"):
        quotas.set_group(portal, "test", jane.subject, name)


@pytest.mark.parametrize(("scope", "key"), [("default", "x"), ("user", ""), ("planet", "x")])
def test_a_quota_is_for_something_that_is(portal: Portal, scope: str, key: str) -> None:
    with pytest.raises(Invalid):
        quotas.set_quota(portal, "test", scope, key, Quota(gpus=1))


# --- inventory -----------------------------------------------------------------------------


def test_a_leased_gpu_that_disappears_is_shown_and_not_given_to_others(
    portal: Portal, jane: User, john: User, gpu_vm: Vm, work_off: WorkOff
) -> None:
    made = ask(portal, jane, "mine")
    work_off(made.id)
    see(portal, report(gpus=report().gpus[1:]))
    with portal.store.reading() as tx:
        gone = ledger.gpus_of(tx, gpu_vm.id)["GPU-0"]
        trail = [event.action for event in audit.events(tx, "gpu:GPU-0")]
    assert (gone.state, gone.problem) == (GpuState.MISSING, "vm-01 no longer reports it")
    assert trail == ["gpu.ok", "gpu.missing"]
    assert deployments.get(portal, jane, made.id).state is State.RUNNING
    assert ask(portal, john, "his").gpu_uuids == ("GPU-1",)


def test_a_gpu_nobody_holds_is_forgotten_when_it_goes(portal: Portal, gpu_vm: Vm) -> None:
    see(portal, report(1))
    with portal.store.reading() as tx:
        assert set(ledger.gpus_of(tx, gpu_vm.id)) == {"GPU-0"}


def test_a_vm_without_toolkit_says_so(portal: Portal, jane: User, gpu_vm: Vm) -> None:
    see(portal, report(access=None, problem="no_toolkit"))
    with pytest.raises(NoCapacity, match=r"vm-01: cannot use its GPUs \(no toolkit\)"):
        ask(portal, jane, "a")


def test_the_board_shows_each_what_concerns_them(
    portal: Portal, jane: User, john: User, gpu_vm: Vm, work_off: WorkOff
) -> None:
    work_off(ask(portal, jane, "mine").id)
    assert [(t.gpu.index, t.hold, t.holder) for t in board.tiles(portal, jane)] == [
        (0, "yours", "Jane Q Doe"), (1, "free", "")]  # fmt: skip
    his_view = board.tiles(portal, john)[0]
    assert (his_view.hold, his_view.holder, his_view.deployment) == ("taken", "", None)
    assert [(offer.model, offer.free, offer.most) for offer in board.offers(portal, john)] == [("A100", 1, 2)]


def test_a_vm_that_became_somebody_elses_is_not_started_on_again(
    portal: Portal, jane: User, john: User, gpu_vm: Vm, work_off: WorkOff
) -> None:
    mine = ask(portal, jane, "mine")
    work_off(mine.id)
    inventory.add(portal, "test", "vm-02", "ssh://portal@vm-02", "10.0.0.2")
    inventory.assign(portal, "test", "vm-01", owner=john.subject)
    assert deployments.get(portal, jane, mine.id).state is State.RUNNING  # what runs goes on
    assert [tile.hold for tile in board.tiles(portal, jane)] == ["yours", "free"]
    deployments.act(portal, jane, mine.id, "stop")
    work_off(mine.id)
    with pytest.raises(NoCapacity, match="vm-02: has no GPU"):
        deployments.act(portal, jane, mine.id, "start")


def test_a_vm_that_is_removed_while_somebody_waits_for_it_fails_the_wait_with_the_reason(
    portal: Portal, jane: User, john: User, gpu_vm: Vm, work_off: WorkOff
) -> None:
    mine = ask(portal, jane, "mine", 2)
    work_off(mine.id)
    his = ask(portal, john, "his")
    with pytest.raises(Conflict, match="mine"):
        inventory.remove(portal, "test", "vm-01")
    deployments.act(portal, jane, mine.id, "stop")
    work_off(mine.id)
    inventory.remove(portal, "test", "vm-01")
    failed = deployments.get(portal, john, his.id)
    assert failed.state is State.FAILED and failed.failure and failed.failure.code == "no_vm"


def test_what_has_become_impossible_ends_after_a_while_with_the_reason(
    portal: Portal, jane: User, john: User, gpu_vm: Vm, clock: FakeClock, work_off: WorkOff
) -> None:
    work_off(ask(portal, jane, "one").id)
    his = ask(portal, john, "both", 2)
    see(portal, report(1))
    assert serve(portal) == []
    waiting = deployments.get(portal, john, his.id)
    assert (waiting.state, waiting.waits_for) == (State.WAITING, "vm-01: has 1 GPU of one model, 2 asked for")
    clock.forward(601)
    serve(portal)
    failed = deployments.get(portal, john, his.id)
    assert failed.state is State.FAILED and failed.failure and failed.failure.code == "no_room"


def test_a_gpu_that_comes_back_in_time_ends_the_worry(
    portal: Portal, jane: User, john: User, gpu_vm: Vm, clock: FakeClock, work_off: WorkOff
) -> None:
    mine = ask(portal, jane, "one")
    work_off(mine.id)
    his = ask(portal, john, "both", 2)
    see(portal, report(1))
    serve(portal)
    clock.forward(300)
    see(portal, report(2))
    serve(portal)
    clock.forward(601)
    deployments.act(portal, jane, mine.id, "remove")
    work_off(mine.id)
    assert serve(portal) == [his.id]


def test_the_use_cases_themselves_refuse_who_is_no_administrator(portal: Portal, jane: User, gpu_vm: Vm) -> None:
    for change in (
        lambda: inventory.drain(portal, jane, "vm-01"), lambda: inventory.remove(portal, jane, "vm-01"),
        lambda: inventory.assign(portal, jane, "vm-01", owner=jane.subject),
        lambda: quotas.set_quota(portal, jane, "user", jane.subject, Quota(gpus=99)),
        lambda: quotas.set_group(portal, jane, jane.subject, "vision"),
    ):  # fmt: skip
        with pytest.raises(Forbidden, match="Only an administrator"):
            change()
