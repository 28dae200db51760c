"""A start that a VM keeps from succeeding: waited for, taken elsewhere, or failed in words."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from portal import db, deployments
from portal.context import Portal
from portal.core.engine import ContainerSpec
from portal.core.errors import EngineError, VmUnreachable
from portal.core.models import Deployment, Order, State, StopReason, Vm
from portal.core.people import User
from portal.jobs import start_stop
from portal.jobs.claim import Work
from portal.jobs.start_stop import converge
from support.fakes import FakeClock, FakeEngine
from support.looks import box_of, look, restart_vm

WorkOff = Callable[..., Deployment]


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


def test_a_program_that_ends_as_if_its_vm_had_restarted_fails_with_its_log(
    portal: Portal,
    jane: User,
    engine: FakeEngine,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(start_stop, "INSPECT_EVERY_S", 0.0)
    made = deployments.request(portal, jane, Order("ml-cpu", "first"))
    engine.on_disk.add(made.release.reference)
    engine.engine_start = clock()

    def ends(vm: Vm, port: int) -> bool:
        box = box_of(engine, made)
        box.running, box.exit_code, box.started_at = False, 255, clock()
        return False

    for _ in range(10):
        if work := Work.claim(portal, made.id):
            converge(work, engine, ends, lambda release: None)
        clock.forward(10)
    seen = deployments.get(portal, jane, made.id)
    assert (seen.state, seen.failure and seen.failure.code) == (State.FAILED, "ended_at_start")
    assert box_of(engine, made)


def test_a_clock_that_jumps_while_a_vm_is_waited_for_fails_nothing(
    portal: Portal, jane: User, engine: FakeEngine, clock: FakeClock, work_off: WorkOff
) -> None:
    engine.failing["has_image"] = VmUnreachable("vm_unreachable", "The VM does not answer.")
    made = work_off(deployments.request(portal, jane, Order("ml-cpu", "first")).id)
    clock.forward(3600)
    assert work_off(made.id).state is State.PENDING
    engine.failing.clear()
    clock.forward(10)
    assert work_off(made.id).state is State.RUNNING
