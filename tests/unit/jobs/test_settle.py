"""What a look at a VM means: restarts, pauses, what was started by hand, what came back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
import wording
from portal import db, deployments, vms
from portal.context import Portal
from portal.core.errors import EngineError, VmUnreachable
from portal.core.models import Deployment, Order, State, StopReason, Vm
from portal.core.people import User
from portal.deployments.past import past
from support.fakes import FakeClock, FakeEngine
from support.looks import box_of, look, recorded, restart_vm
from support.samples import TEST

WorkOff = Callable[..., Deployment]


def test_what_ran_on_a_vm_that_was_restarted_starts_again_in_its_place(
    portal: Portal,
    jane: User,
    engine: FakeEngine,
    clock: FakeClock,
    running: Deployment,
    work_off: WorkOff,
) -> None:
    restart_vm(engine, box_of(engine, running), clock)
    look(portal, engine)
    pending = deployments.get(portal, jane, running.id)
    assert (pending.state, pending.stop_reason) == (State.PENDING, StopReason.VM_RESTARTED)
    again = work_off(running.id)
    assert (again.state, again.slot) == (State.RUNNING, running.slot)
    assert again.stop_reason is StopReason.VM_RESTARTED  # its owner is told
    assert again.started_at and running.started_at and again.started_at > running.started_at
    assert box_of(engine, running).running


def test_a_vm_whose_clock_was_wrong_at_its_start_is_judged_all_the_same(
    portal: Portal, jane: User, engine: FakeEngine, clock: FakeClock, running: Deployment
) -> None:
    """An hour behind: the container seems to be newer than the engine that found it dead."""
    clock.forward(600)
    box = box_of(engine, running)
    box.running, box.exit_code, box.started_at = False, 255, clock() - timedelta(minutes=10)
    engine.engine_start = clock() - timedelta(hours=1)
    look(portal, engine)
    found = deployments.get(portal, jane, running.id)
    assert (found.state, found.stop_reason) == (State.PENDING, StopReason.VM_RESTARTED)


def test_a_program_that_ends_with_255_did_so_itself_while_its_engine_ran(
    portal: Portal, jane: User, engine: FakeEngine, clock: FakeClock, running: Deployment
) -> None:
    engine.engine_start = clock() - timedelta(minutes=1)
    clock.forward(600)
    box = box_of(engine, running)
    box.running, box.exit_code = False, 255
    box.started_at, box.finished_at = clock() - timedelta(minutes=9), clock()
    look(portal, engine)
    found = deployments.get(portal, jane, running.id)
    assert (found.state, found.stop_reason) == (State.STOPPED, StopReason.EXIT_CODE)


@pytest.mark.parametrize(
    ("codes", "state", "reason"),
    [
        ((1, 2, 134), State.STOPPED, StopReason.EXIT_CODE),
        ((0, 137, 143), State.PENDING, StopReason.VM_RESTARTED),
    ],
    ids=["by itself, while nobody looked", "by its shutdown"],
)
def test_what_had_ended_before_its_vm_restarted_starts_again_unless_it_ended_by_itself(
    portal: Portal,
    jane: User,
    engine: FakeEngine,
    clock: FakeClock,
    running: Deployment,
    codes: tuple[int, ...],
    state: State,
    reason: StopReason,
) -> None:
    box = box_of(engine, running)
    restart_vm(engine, box, clock)
    for box.exit_code in codes:
        with portal.database.transaction() as tx:
            db.deployments.update(tx, running.id, state=State.RUNNING)
        look(portal, engine)
        found = deployments.get(portal, jane, running.id)
        assert (found.state, found.stop_reason) == (state, reason), box.exit_code


def test_what_ends_by_itself_after_its_vms_clock_was_set_back_is_not_started_again(
    portal: Portal, jane: User, engine: FakeEngine, clock: FakeClock, running: Deployment
) -> None:
    """An hour ahead at the start: the engine seems to be newer than everything since then."""
    engine.engine_start, engine.at = clock() + timedelta(hours=1), clock()
    box = box_of(engine, running)
    box.running, box.exit_code, box.started_at, box.out_of_memory = False, 137, clock(), True
    look(portal, engine)
    found = deployments.get(portal, jane, running.id)
    assert (found.state, found.stop_reason) == (State.STOPPED, StopReason.OUT_OF_MEMORY)


def test_what_may_be_ending_its_vm_is_not_started_for_ever(
    portal: Portal,
    jane: User,
    engine: FakeEngine,
    clock: FakeClock,
    running: Deployment,
    work_off: WorkOff,
) -> None:
    def after_a_restart() -> State:
        restart_vm(engine, box_of(engine, running), clock)
        look(portal, engine)
        return deployments.get(portal, jane, running.id).state

    for _ in range(3):
        assert after_a_restart() is State.PENDING
        work_off(running.id)
    assert after_a_restart() is State.STOPPED
    assert deployments.get(portal, jane, running.id).stop_reason is StopReason.VM_RESTARTED
    deployments.act(portal, jane, running.id, "start")
    work_off(running.id)
    clock.forward(3600)  # what was an hour ago says nothing about today
    assert after_a_restart() is State.PENDING


def test_what_waits_and_is_started_by_hand_is_removed_from_its_vm(
    portal: Portal,
    jane: User,
    john: User,
    engine: FakeEngine,
    gpu_vm: Vm,
    work_off: WorkOff,
) -> None:
    def order(who: User, name: str) -> Deployment:
        return work_off(deployments.request(portal, who, Order("ml-cpu", name, gpus=2)).id)

    waits = order(jane, "waits")
    deployments.act(portal, jane, waits.id, "stop")
    work_off(waits.id)
    box = box_of(engine, waits)
    johns = order(john, "mine")
    deployments.act(portal, jane, waits.id, "start")
    assert deployments.get(portal, jane, waits.id).state is State.WAITING
    look(portal, engine)
    assert box_of(engine, waits) is box  # for its log
    box.running = True
    for reachable in (True, False):
        with portal.database.transaction() as tx:
            db.vms.update(tx, gpu_vm.id, reachable=reachable)
        look(portal, engine)
    assert list(engine.boxes) == [f"portal-{johns.id}"]
    assert recorded(portal, "vm-01").reachable
    assert deployments.get(portal, jane, waits.id).state is State.WAITING


def test_gpus_stay_with_what_starts_again(
    portal: Portal,
    jane: User,
    engine: FakeEngine,
    clock: FakeClock,
    gpu_vm: Vm,
    work_off: WorkOff,
) -> None:
    made = work_off(deployments.request(portal, jane, Order("ml-cpu", "gpu", gpus=1)).id)
    restart_vm(engine, box_of(engine, made), clock)
    look(portal, engine)
    with portal.database.reading() as tx:
        assert list(db.leases.gpus(tx).values()) == [made.id]
    assert work_off(made.id).gpu_uuids == made.gpu_uuids


def test_where_it_is_set_so_a_restart_of_the_vm_ends_it(
    portal: Portal, jane: User, engine: FakeEngine, clock: FakeClock, running: Deployment
) -> None:
    settings = portal.settings.model_copy(update={"restart_after_vm_restart": False})
    portal = replace(portal, settings=settings)
    restart_vm(engine, box_of(engine, running), clock)
    look(portal, engine)
    seen = deployments.get(portal, jane, running.id)
    assert (seen.state, seen.stop_reason) == (State.STOPPED, StopReason.VM_RESTARTED)


def test_what_ended_by_itself_long_after_the_engine_started_stays_stopped(
    portal: Portal, jane: User, engine: FakeEngine, clock: FakeClock, running: Deployment
) -> None:
    engine.engine_start = clock() - timedelta(days=1)
    box = box_of(engine, running)
    box.running, box.exit_code, box.started_at = False, 1, clock()
    look(portal, engine)
    seen = deployments.get(portal, jane, running.id)
    assert (seen.state, seen.stop_reason) == (State.STOPPED, StopReason.EXIT_CODE)


def test_a_paused_container_is_told_until_it_goes_on(
    portal: Portal, jane: User, engine: FakeEngine, running: Deployment
) -> None:
    box_of(engine, running).paused = True
    look(portal, engine)
    look(portal, engine)
    told = deployments.get(portal, jane, running.id)
    assert (told.state, told.trouble and told.trouble.code) == (State.RUNNING, "paused")
    box_of(engine, running).paused = False
    look(portal, engine)
    assert deployments.get(portal, jane, running.id).trouble is None


def test_a_kernel_that_was_killed_for_memory_is_told_while_the_server_runs(
    portal: Portal, jane: User, engine: FakeEngine, clock: FakeClock, running: Deployment
) -> None:
    engine.at = clock()
    look(portal, engine)
    assert deployments.get(portal, jane, running.id).trouble is None
    clock.forward(1)
    engine.killed[running.id] = clock()
    clock.forward(2)
    engine.at = clock()
    look(portal, engine)
    told = deployments.get(portal, jane, running.id)
    assert (told.state, told.trouble and told.trouble.code) == (State.RUNNING, "killed_for_memory")
    assert deployments.stuck(portal, TEST) == []  # nobody has to help
    engine.killed[running.id] = clock()
    look(portal, engine)  # again at once: the same event
    told_of = [event.action for event in past(portal, jane, running.id)]
    assert told_of.count("deployment.killed_for_memory") == 1
    box = box_of(engine, running)
    box.running, box.exit_code, box.out_of_memory = False, 0, True
    look(portal, engine)
    ended = deployments.get(portal, jane, running.id)
    assert (ended.stop_reason, ended.trouble) == (StopReason.EXIT_CODE, None)


def test_what_was_stopped_and_started_by_hand_is_stopped_again(
    portal: Portal, jane: User, engine: FakeEngine, running: Deployment, work_off: WorkOff
) -> None:
    deployments.act(portal, jane, running.id, "stop")
    work_off(running.id)
    box_of(engine, running).running = True
    look(portal, engine)
    again = work_off(running.id)
    assert (again.state, again.stop_reason) == (State.STOPPED, StopReason.NOT_WANTED)
    assert not box_of(engine, running).running
    with portal.database.reading() as tx:
        events = db.audit.events(tx, f"deployment:{running.id}")
    assert [event.actor for event in events[-2:]] == ["worker", "worker"]


def test_a_container_that_was_left_behind_when_it_went_elsewhere_is_removed(
    portal: Portal, jane: User, engine: FakeEngine, running: Deployment
) -> None:
    vms.add(portal, TEST, "vm-02", "ssh://portal@vm-02", "10.0.0.2")
    with portal.database.transaction() as tx:
        db.deployments.update(tx, running.id, vm_id=recorded(portal, "vm-02").id)
    look(portal, engine)
    assert not engine.boxes


def test_a_vm_that_returns_takes_nothing_before_what_was_given_up_is_gone(
    portal: Portal, jane: User, engine: FakeEngine, running: Deployment
) -> None:
    engine.failing["info"] = VmUnreachable("vm_unreachable", "It does not answer.")
    look(portal, engine)
    with portal.database.transaction() as tx:
        db.deployments.update(tx, running.id, state=State.REMOVED)
    engine.failing.clear()
    engine.failing["remove"] = EngineError("engine_refused", "It refuses.")
    look(portal, engine)
    seen = recorded(portal)
    assert not seen.reachable
    assert running.id in (seen.error or "")


def test_gpus_of_a_failed_start_are_held_until_its_container_is_gone(
    portal: Portal, jane: User, engine: FakeEngine, gpu_vm: Vm, work_off: WorkOff
) -> None:
    for step in ("start", "remove"):
        engine.failing[step] = EngineError("engine_refused", "It refuses.")
    made = work_off(deployments.request(portal, jane, Order("ml-cpu", "gpu", gpus=1)).id)
    assert made.state is State.FAILED
    with portal.database.reading() as tx:
        assert list(db.leases.gpus(tx).values()) == [made.id]
        assert db.leases.memory_by_vm(tx) == {}
    engine.failing.clear()
    look(portal, engine)
    with portal.database.reading() as tx:
        assert db.leases.live(tx) == []


def test_what_failed_and_is_started_by_hand_is_stopped_again_for_its_log(
    portal: Portal, engine: FakeEngine, running: Deployment
) -> None:
    with portal.database.transaction() as tx:
        db.deployments.update(tx, running.id, state=State.FAILED)
    look(portal, engine)
    assert not box_of(engine, running).running
    with portal.database.reading() as tx:
        last = db.audit.events(tx, f"deployment:{running.id}")[-1]
    assert last.action == "deployment.stopped_again"


def test_what_ended_too_often_with_its_vm_says_why_it_waits(
    portal: Portal,
    jane: User,
    engine: FakeEngine,
    clock: FakeClock,
    running: Deployment,
    work_off: WorkOff,
) -> None:
    for _ in range(4):
        restart_vm(engine, box_of(engine, running), clock)
        look(portal, engine)
        work_off(running.id)
    seen = deployments.get(portal, jane, running.id)
    assert wording.why(seen).endswith("more than 3 times in an hour: start it yourself.")
