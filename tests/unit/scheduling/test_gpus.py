"""GPUs by lease, the queue and the inventory, through the use cases: real SQLite, fake engine."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from portal import db, deployments, users, vms
from portal.context import Portal
from portal.core.errors import Conflict, Forbidden, Invalid, NoCapacity
from portal.core.models import Deployment, Order, State, Vm
from portal.core.people import User
from portal.core.resources import Quota
from portal.db import Tx
from portal.scheduling import quotas
from portal.vms import gpus
from support.fakes import FakeClock, FakeEngine
from support.gpu_world import ask, held, report, see, serve
from support.samples import TEST

WorkOff = Callable[..., Deployment]


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


def test_a_restart_keeps_the_gpus(
    portal: Portal, jane: User, gpu_vm: Vm, work_off: WorkOff
) -> None:
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
    with portal.database.reading() as tx:
        kinds = {(lease["kind"], lease["deployment_id"]) for lease in db.leases.live(tx)}
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
    with portal.database.reading() as tx:
        assert db.leases.live(tx) == []


def test_more_gpus_than_any_vm_has_never_wait(portal: Portal, jane: User, gpu_vm: Vm) -> None:
    quotas.set_quota(portal, TEST, "user", jane.subject, Quota(gpus=8))
    with pytest.raises(NoCapacity, match="has 2 GPUs of one model, 4 asked for"):
        ask(portal, jane, "a", 4)


# --- inventory -----------------------------------------------------------------------------


def test_a_vm_without_toolkit_says_so(portal: Portal, jane: User, gpu_vm: Vm) -> None:
    see(portal, report(access=None, problem="no_toolkit"))
    with pytest.raises(NoCapacity, match=r"vm-01: cannot use its GPUs \(no toolkit\)"):
        ask(portal, jane, "a")


def test_the_board_shows_each_what_concerns_them(
    portal: Portal, jane: User, john: User, gpu_vm: Vm, work_off: WorkOff
) -> None:
    work_off(ask(portal, jane, "mine").id)
    assert [(t.gpu.index, t.hold, t.holder) for t in gpus.overview(portal, jane)] == [
        (0, "yours", "Jane Q Doe"),
        (1, "free", ""),
    ]
    his_view = gpus.overview(portal, john)[0]
    assert (his_view.hold, his_view.holder, his_view.deployment) == ("taken", "", None)
    assert [(offer.model, offer.free, offer.most) for offer in gpus.offers(portal, john)] == [
        ("A100", 1, 2)
    ]


def test_a_vm_that_became_somebody_elses_is_not_started_on_again(
    portal: Portal, jane: User, john: User, gpu_vm: Vm, work_off: WorkOff
) -> None:
    mine = ask(portal, jane, "mine")
    work_off(mine.id)
    vms.add(portal, TEST, "vm-02", "ssh://portal@vm-02", "10.0.0.2")
    vms.assign(portal, TEST, "vm-01", owner=john.subject)
    assert deployments.get(portal, jane, mine.id).state is State.RUNNING  # what runs goes on
    assert [tile.hold for tile in gpus.overview(portal, jane)] == ["yours", "free"]
    deployments.act(portal, jane, mine.id, "stop")
    work_off(mine.id)
    with pytest.raises(NoCapacity, match="vm-02: has no GPU"):
        deployments.act(portal, jane, mine.id, "start")


def test_an_order_that_comes_just_before_its_vm_is_removed_is_seen(
    portal: Portal, jane: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = portal.database.transaction

    def after_an_order() -> AbstractContextManager[Tx]:
        monkeypatch.setattr(portal.database, "transaction", begin)
        deployments.request(portal, jane, Order("ml-cpu", "late"))
        return begin()

    monkeypatch.setattr(portal.database, "transaction", after_an_order)
    with pytest.raises(Conflict, match="late"):
        vms.remove(portal, TEST, "vm-01")


def test_a_vm_that_is_removed_while_somebody_waits_for_it_fails_the_wait_with_the_reason(
    portal: Portal, jane: User, john: User, gpu_vm: Vm, work_off: WorkOff
) -> None:
    mine = ask(portal, jane, "mine", 2)
    work_off(mine.id)
    his = ask(portal, john, "his")
    with pytest.raises(Conflict, match="mine"):
        vms.remove(portal, TEST, "vm-01")
    deployments.act(portal, jane, mine.id, "stop")
    work_off(mine.id)
    vms.remove(portal, TEST, "vm-01")
    assert serve(portal) == []
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
    assert (waiting.state, waiting.waits_for) == (
        State.WAITING,
        "vm-01: has 1 GPU of one model, 2 asked for",
    )
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


def test_the_use_cases_themselves_refuse_who_is_no_administrator(
    portal: Portal, jane: User, gpu_vm: Vm
) -> None:
    for change in (
        lambda: vms.drain(portal, jane, "vm-01"),
        lambda: vms.remove(portal, jane, "vm-01"),
        lambda: vms.assign(portal, jane, "vm-01", owner=jane.subject),
        lambda: quotas.set_quota(portal, jane, "user", jane.subject, Quota(gpus=99)),
        lambda: users.set_group(portal, jane, jane.subject, "vision"),
    ):
        with pytest.raises(Forbidden, match="Only an administrator"):
            change()
