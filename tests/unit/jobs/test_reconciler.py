from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from portal import db, deployments, vms
from portal.context import Portal
from portal.core.errors import EngineError, VmUnreachable
from portal.core.models import Deployment, Order, State, StopReason
from portal.core.people import User
from portal.jobs.claim import Work
from portal.jobs.observe import observe
from portal.jobs.reconciler import TRIES, Reconciler
from portal.jobs.start_stop import converge
from support.fakes import FakeClock, FakeEngine
from support.samples import TEST

WorkOff = Callable[..., Deployment]


def look(portal: Portal, engine: FakeEngine) -> None:
    """One look of the worker at vm-01, as it is recorded now."""
    with portal.database.reading() as tx:
        vm = db.vms.by_name(tx, "vm-01")
    assert vm
    observe(portal, vm, engine)


@pytest.mark.parametrize("step", ["has_image", "pull", "create", "start"])
def test_a_failure_anywhere_leaves_nothing_behind(
    portal: Portal, jane: User, engine: FakeEngine, work_off: WorkOff, step: str
) -> None:
    engine.failing[step] = EngineError(
        "disk_full", "The VM's disk is full.", "Tell your administrator."
    )
    made = work_off(deployments.request(portal, jane, Order("ml-cpu", "first")).id)
    assert made.state is State.FAILED
    assert made.failure and made.failure.message == "The VM's disk is full."
    assert not engine.boxes
    with portal.database.reading() as tx:
        assert db.leases.live(tx) == []


def test_what_nobody_foresaw_is_tried_again_and_then_said(
    portal: Portal, jane: User, engine: FakeEngine, clock: FakeClock
) -> None:
    made = deployments.request(portal, jane, Order("ml-cpu", "first"))

    def broken(_: object) -> None:
        raise PermissionError("/root/.docker/config.json")

    worker = Reconciler(portal, lambda vm: engine, lambda vm, port: True, broken)
    states, found = [], made
    for _ in range(TRIES):
        for job in worker.dispatch():
            job.result(timeout=10)
        with portal.database.reading() as tx:
            found = db.deployments.by_id(tx, made.id) or made
        states.append(found.state)
        clock.forward(portal.settings.lock_ttl_s + 1)
    assert states == [State.PENDING, State.PENDING, State.FAILED]
    assert found.failure and (found.failure.code, made.id in found.failure.hint) == (
        "internal",
        True,
    )


def test_a_failed_deployment_can_be_started_again(
    portal: Portal, jane: User, engine: FakeEngine, work_off: WorkOff
) -> None:
    engine.failing["pull"] = EngineError(
        "registry_unreachable", "The VM cannot reach the registry."
    )
    made = work_off(deployments.request(portal, jane, Order("ml-cpu", "first")).id)
    engine.failing.clear()
    deployments.act(portal, jane, made.id, "start")
    again = work_off(made.id)
    assert (again.state, again.slot, again.failure) == (State.RUNNING, 0, None)


def test_a_notebook_that_never_answers_fails_with_its_log_as_the_cause(
    portal: Portal, jane: User, engine: FakeEngine, work_off: WorkOff
) -> None:
    made = deployments.request(portal, jane, Order("ml-cpu", "first"))
    failed = work_off(made.id, ready=False)
    assert failed.failure and failed.failure.code == "notebook_silent"
    [box] = engine.boxes.values()  # stopped, for its log
    assert not box.running
    look(portal, engine)
    assert list(engine.boxes.values()) == [box]
    deployments.act(portal, jane, made.id, "start")
    assert work_off(made.id).state is State.RUNNING


def test_restart_stops_and_starts_the_same_container(
    portal: Portal, jane: User, engine: FakeEngine, work_off: WorkOff, running: Deployment
) -> None:
    deployments.act(portal, jane, running.id, "restart")
    assert work_off(running.id).state is State.PENDING
    assert work_off(running.id).state is State.RUNNING
    assert engine.boxes[f"portal-{running.id}"].running


def test_removing_while_pulling_wins_and_leaves_no_container(
    portal: Portal, jane: User, engine: FakeEngine
) -> None:
    engine.pull_gate = threading.Event()
    made = deployments.request(portal, jane, Order("ml-cpu", "first"))
    work = Work.claim(portal, made.id)
    assert work
    job = threading.Thread(
        target=converge, args=(work, engine, lambda vm, port: True, lambda release: None)
    )
    job.start()
    deployments.act(portal, jane, made.id, "remove")
    engine.pull_gate.set()
    job.join(10)
    removal = Work.claim(portal, made.id)
    assert removal
    converge(removal, engine, lambda vm, port: True, lambda release: None)
    assert deployments.mine(portal, jane) == []
    assert not engine.boxes


def test_a_crashed_workers_claim_expires_and_another_finishes(
    portal: Portal, jane: User, clock: FakeClock, work_off: WorkOff
) -> None:
    made = deployments.request(portal, jane, Order("ml-cpu", "first"))
    assert Work.claim(portal, made.id) is not None  # this worker dies here
    assert Work.claim(portal, made.id) is None
    clock.forward(portal.settings.lock_ttl_s + 1)
    assert work_off(made.id).state is State.RUNNING


def test_stopping_on_a_lost_vm_is_kept_as_intent(
    portal: Portal,
    jane: User,
    engine: FakeEngine,
    clock: FakeClock,
    work_off: WorkOff,
    running: Deployment,
) -> None:
    engine.failing["stop"] = VmUnreachable("vm_unreachable", "The VM vm-01 does not answer.")
    deployments.act(portal, jane, running.id, "stop")
    assert work_off(running.id).state is State.STOPPING
    engine.failing.clear()
    clock.forward(10)
    assert work_off(running.id).state is State.STOPPED


def test_a_lost_vm_stops_nothing_and_is_shown(
    portal: Portal, jane: User, engine: FakeEngine, running: Deployment
) -> None:
    engine.failing["info"] = VmUnreachable("vm_unreachable", "The VM vm-01 does not answer.")
    look(portal, engine)
    seen = deployments.get(portal, jane, running.id)
    assert (seen.state, seen.unreachable) == (State.RUNNING, True)
    engine.failing.clear()
    look(portal, engine)
    assert not deployments.get(portal, jane, running.id).unreachable


@pytest.mark.parametrize(
    ("oom", "reason"), [(True, StopReason.OUT_OF_MEMORY), (False, StopReason.EXIT_CODE)]
)
def test_a_container_that_ends_by_itself_is_stopped_with_the_reason(
    portal: Portal,
    jane: User,
    engine: FakeEngine,
    running: Deployment,
    oom: bool,
    reason: StopReason,
) -> None:
    box = engine.boxes[f"portal-{running.id}"]
    box.running, box.exit_code, box.out_of_memory = False, 137, oom
    look(portal, engine)
    seen = deployments.get(portal, jane, running.id)
    assert (seen.state, seen.stop_reason) == (State.STOPPED, reason)


def test_orphans_are_removed_and_others_left(
    portal: Portal, jane: User, engine: FakeEngine, running: Deployment
) -> None:
    spec = engine.boxes[f"portal-{running.id}"].spec
    engine.create(
        replace(
            spec,
            name="portal-nobody",
            labels={**spec.labels, "org.container-portal.deployment": "x"},
        )
    )
    look(portal, engine)
    assert list(engine.boxes) == [f"portal-{running.id}"]


def test_every_change_of_state_has_exactly_one_audit_event(
    portal: Portal, jane: User, work_off: WorkOff, running: Deployment
) -> None:
    deployments.act(portal, jane, running.id, "stop")
    work_off(running.id)
    with portal.database.reading() as tx:
        recorded = [
            event.action.split(".")[1] for event in db.audit.events(tx, f"deployment:{running.id}")
        ]
    assert recorded == ["pending", "pulling", "starting", "running", "stopping", "stopped"]


def test_a_vm_that_hangs_delays_no_other(portal: Portal, jane: User, john: User) -> None:
    vms.add(portal, TEST, "vm-hung", "ssh://portal@hung", "10.0.0.9", jane.subject)
    hung, good = FakeEngine(pull_gate=threading.Event()), FakeEngine()
    engines = {"vm-hung": hung, "vm-01": good}
    reconciler = Reconciler(
        portal, lambda vm: engines[vm.name], lambda vm, port: True, lambda release: None
    )
    for number in range(8):
        deployments.request(portal, jane, Order("ml-cpu", f"h{number}", memory_gb=0.5))
    made = deployments.request(portal, john, Order("ml-cpu", "good"))
    started = reconciler.dispatch()
    while deployments.get(portal, john, made.id).state is not State.RUNNING:
        started += reconciler.dispatch()
    assert hung.pull_gate
    hung.pull_gate.set()
    for future in started:
        future.result(10)
    reconciler.stop()
