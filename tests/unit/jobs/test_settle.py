"""What a look at a VM means: restarts, pauses, what was started by hand, what came back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from portal import db, deployments, vms
from portal.context import Portal
from portal.core.engine import ContainerSpec
from portal.core.errors import EngineError, VmUnreachable
from portal.core.models import Deployment, Order, State, StopReason, Vm
from portal.core.people import User
from portal.jobs import start_stop
from portal.jobs.claim import Work
from portal.jobs.observe import observe
from portal.jobs.start_stop import converge
from support.fakes import Box, FakeClock, FakeEngine
from support.samples import TEST

WorkOff = Callable[..., Deployment]


def recorded(portal: Portal, name: str = "vm-01") -> Vm:
    with portal.database.reading() as tx:
        vm = db.vms.by_name(tx, name)
    assert vm
    return vm


def look(portal: Portal, engine: FakeEngine, name: str = "vm-01") -> None:
    """One look of the worker at a VM, as it is recorded now."""
    observe(portal, recorded(portal, name), engine)


def box_of(engine: FakeEngine, deployment: Deployment) -> Box:
    return engine.boxes[f"portal-{deployment.id}"]


def restart_vm(engine: FakeEngine, box: Box, clock: FakeClock) -> None:
    """Everything on the VM ends, and its engine starts anew."""
    box.running, box.exit_code, box.started_at = False, 255, clock()
    clock.forward(60)
    engine.engine_start = clock()


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
        db.deployments.update(tx, running.id, state=State.FAILED)
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


@pytest.mark.parametrize("state", [State.PENDING, State.STARTING])
def test_a_vm_that_does_not_answer_for_a_while_is_waited_for(
    portal: Portal,
    jane: User,
    engine: FakeEngine,
    clock: FakeClock,
    work_off: WorkOff,
    state: State,
) -> None:
    step = {State.PENDING: "has_image", State.STARTING: "start"}[state]
    engine.failing[step] = VmUnreachable("vm_unreachable", "The VM vm-01 does not answer.")
    made = work_off(deployments.request(portal, jane, Order("ml-cpu", "first")).id)
    assert (made.state, made.trouble and made.trouble.message) == (
        state,
        "The VM vm-01 does not answer.",
    )
    since = made.trouble and made.trouble.since
    clock.forward(60)
    still = work_off(made.id)
    assert still.trouble and still.trouble.since == since
    engine.failing.clear()
    clock.forward(10)
    done = work_off(made.id)
    assert (done.state, done.trouble, done.failure) == (State.RUNNING, None, None)


def test_a_vm_that_stays_away_fails_the_start_and_says_so(
    portal: Portal, jane: User, engine: FakeEngine, clock: FakeClock, work_off: WorkOff
) -> None:
    engine.failing["has_image"] = VmUnreachable("vm_unreachable", "The VM does not answer.")
    made = deployments.request(portal, jane, Order("ml-cpu", "first"))
    for _ in range(7):
        seen = work_off(made.id)
        clock.forward(60)
    assert (seen.state, seen.failure and seen.failure.code) == (State.FAILED, "vm_unreachable")


def test_a_kernel_that_was_killed_long_ago_does_not_keep_it_from_starting_after_a_reboot(
    portal: Portal, jane: User, engine: FakeEngine, clock: FakeClock, running: Deployment
) -> None:
    box = box_of(engine, running)
    restart_vm(engine, box, clock)
    box.out_of_memory, box.exit_code = True, 137
    look(portal, engine)
    seen = deployments.get(portal, jane, running.id)
    assert (seen.state, seen.stop_reason) == (State.PENDING, StopReason.VM_RESTARTED)


def test_a_start_that_a_restart_of_the_vm_ended_is_started_again(
    portal: Portal,
    jane: User,
    engine: FakeEngine,
    clock: FakeClock,
    work_off: WorkOff,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(start_stop, "INSPECT_EVERY_S", 0.0)
    made = deployments.request(portal, jane, Order("ml-cpu", "first"))
    engine.on_disk.add(made.release.reference)

    def never_ready(vm: Vm, port: int) -> bool:
        restart_vm(engine, box_of(engine, made), clock)
        return False

    work = Work.claim(portal, made.id)
    assert work
    converge(work, engine, never_ready, lambda release: None)
    seen = deployments.get(portal, jane, made.id)
    assert (seen.state, seen.failure) == (State.STARTING, None)
    assert seen.trouble and "restarted while the container started" in seen.trouble.message
    clock.forward(10)
    done = work_off(made.id)
    assert (done.state, done.trouble) == (State.RUNNING, None)


def test_a_port_that_something_else_holds_is_left_and_remembered(
    portal: Portal, jane: User, engine: FakeEngine, clock: FakeClock, work_off: WorkOff
) -> None:
    engine.ports_in_use = {10000, 10011}
    made = work_off(deployments.request(portal, jane, Order("ml-cpu", "first")).id)
    assert (made.state, made.slot) == (State.RUNNING, 2)
    with portal.database.reading() as tx:
        ports = {row["resource"] for row in db.leases.live(tx) if row["kind"] == db.leases.PORT}
    assert ports == {"10020", "10021"}
    second = work_off(deployments.request(portal, jane, Order("ml-cpu", "second")).id)
    assert second.slot == 3  # those that are blocked are not tried again at once
    engine.ports_in_use.clear()
    clock.forward(3601)
    third = work_off(deployments.request(portal, jane, Order("ml-cpu", "third")).id)
    assert third.slot == 0


def test_where_every_port_is_held_by_something_else_the_start_fails(
    portal: Portal, jane: User, engine: FakeEngine, work_off: WorkOff
) -> None:
    engine.ports_in_use = set(range(10000, 10100))
    made = work_off(deployments.request(portal, jane, Order("ml-cpu", "first")).id)
    assert (made.state, made.failure and made.failure.code) == (State.FAILED, "port_taken")
    assert not engine.boxes


def test_a_container_that_a_dead_workers_call_made_meanwhile_is_taken_over(
    portal: Portal,
    jane: User,
    engine: FakeEngine,
    work_off: WorkOff,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    create = engine.create

    def late(spec: ContainerSpec) -> str:
        monkeypatch.setattr(engine, "create", create)
        create(spec)
        raise EngineError("container_exists", "The container is on the VM already.")

    monkeypatch.setattr(engine, "create", late)
    made = work_off(deployments.request(portal, jane, Order("ml-cpu", "first")).id)
    assert (made.state, len(engine.boxes)) == (State.RUNNING, 1)
