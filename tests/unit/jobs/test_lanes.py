"""Nobody waits for somebody else's trouble: lanes of a VM, and turns at a container."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from portal import db, deployments, vms
from portal.context import Portal
from portal.core.models import Order, State
from portal.core.people import User
from portal.jobs.lanes import LIMITS, Lane, Lanes, Turns
from portal.jobs.reconciler import Reconciler
from support.fakes import FakeEngine
from support.samples import TEST

LIMIT_S = 10


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Tasks wait for it; nobody waits longer than the test."""
    event = threading.Event()
    yield event
    event.set()


def waiting(gate: threading.Event) -> Callable[[], None]:
    """A task that lasts until the gate opens."""

    def task() -> None:
        gate.wait(LIMIT_S)

    return task


def test_a_full_lane_stops_neither_another_lane_nor_another_vm(gate: threading.Event) -> None:
    lanes = Lanes(lambda lane: None)
    held = [
        lanes.start(Lane.DOWNLOAD, 1, f"download:{number}", waiting(gate))
        for number in range(LIMITS[Lane.DOWNLOAD])
    ]
    assert all(held)
    assert lanes.start(Lane.DOWNLOAD, 1, "download:more", lambda: None) is None
    for lane, vm_id in ((Lane.STOP, 1), (Lane.START, 1), (Lane.PROBE, 1), (Lane.DOWNLOAD, 2)):
        other = lanes.start(lane, vm_id, f"other-{lane}:{vm_id}", lambda: None)
        assert other is not None
        other.result(LIMIT_S)
    gate.set()
    for future in held:
        assert future
        future.result(LIMIT_S)
    assert lanes.start(Lane.DOWNLOAD, 1, "download:more", lambda: None) is not None


def test_the_same_key_runs_once_and_again_when_it_is_done(gate: threading.Event) -> None:
    ended: list[Lane] = []
    lanes = Lanes(ended.append)
    first = lanes.start(Lane.STOP, 1, "stop:a", waiting(gate))
    assert first is not None
    assert lanes.start(Lane.STOP, 1, "stop:a", lambda: None) is None
    gate.set()
    first.result(LIMIT_S)
    assert ended == [Lane.STOP]
    assert lanes.start(Lane.STOP, 1, "stop:a", lambda: None) is not None


def test_what_a_task_raises_ends_with_it() -> None:
    def broken() -> None:
        raise RuntimeError

    lanes = Lanes(lambda lane: None)
    for _ in range(LIMITS[Lane.STOP] + 1):
        future = lanes.start(Lane.STOP, 1, "stop:a", broken)
        assert future is not None
        future.result(LIMIT_S)


def test_turns_are_taken_one_by_one_and_nothing_is_kept(gate: threading.Event) -> None:
    turns, order = Turns(), []
    inside = threading.Event()

    def first() -> None:
        with turns.of("a"):
            inside.set()
            gate.wait(LIMIT_S)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    assert inside.wait(LIMIT_S)
    with turns.of("b"):  # somebody else's turn
        gate.set()
    with turns.of("a"):
        order.append("second")
    thread.join(LIMIT_S)
    assert order == ["first", "second"]
    assert not turns._locks


def test_a_stop_does_not_wait_for_six_downloads_on_its_vm(
    portal: Portal, jane: User, john: User, gate: threading.Event
) -> None:
    engine = FakeEngine()
    running = deployments.request(portal, john, Order("ml-cpu", "runs"))
    worker = Reconciler(portal, lambda vm: engine, lambda vm, port: True, lambda release: None)
    _settle(worker, portal, john, running.id, State.RUNNING)
    engine.on_disk.clear()
    engine.pull_gate = gate
    for number in range(LIMITS[Lane.DOWNLOAD] + 2):
        deployments.request(portal, jane, Order("ml-cpu", f"d{number}", memory_gb=0.5, cpus=0.5))
    with portal.database.reading() as tx:
        reference = db.releases.approved(tx)["ml-cpu"].reference
    while engine.pulled.count(reference) < 1 + LIMITS[Lane.DOWNLOAD]:
        worker.dispatch()
    deployments.act(portal, john, running.id, "stop")
    _settle(worker, portal, john, running.id, State.STOPPED)
    assert not gate.is_set()
    gate.set()
    for each in deployments.mine(portal, jane):
        _settle(worker, portal, jane, each.id, State.RUNNING)
    worker.stop()


def test_somebody_who_stops_their_own_download_does_not_wait_for_it(
    portal: Portal, jane: User, gate: threading.Event
) -> None:
    engine = FakeEngine(pull_gate=gate)
    worker = Reconciler(portal, lambda vm: engine, lambda vm, port: True, lambda release: None)
    made = deployments.request(portal, jane, Order("ml-cpu", "first"))
    while not engine.pulled:
        worker.dispatch()
    deployments.act(portal, jane, made.id, "stop")
    _settle(worker, portal, jane, made.id, State.STOPPED)
    assert not gate.is_set()
    worker.stop()


def test_sixty_downloads_on_ten_vms_do_not_keep_an_eleventh_vm_from_starting(
    portal: Portal, jane: User, john: User, gate: threading.Event
) -> None:
    engines = {"vm-01": FakeEngine()}
    with portal.database.transaction() as tx:
        db.vms.update(tx, 1, owner_id=john.id)
    for number in range(10, 20):
        name = f"vm-{number}"
        vms.add(portal, TEST, name, f"ssh://portal@{name}", f"10.0.0.{number}")
        engines[name] = FakeEngine(pull_gate=gate)
    worker = Reconciler(
        portal, lambda vm: engines[vm.name], lambda vm, port: True, lambda release: None
    )
    lanes = worker._lanes
    for number in range(10, 20):
        with portal.database.reading() as tx:
            vm = db.vms.by_name(tx, f"vm-{number}")
        assert vm
        for each in range(LIMITS[Lane.DOWNLOAD]):
            key = f"download:{number}-{each}"
            assert lanes.start(Lane.DOWNLOAD, vm.id, key, waiting(gate))
    made = deployments.request(portal, john, Order("ml-cpu", "good"))
    _settle(worker, portal, john, made.id, State.RUNNING)
    assert not gate.is_set()
    worker.stop()


def _settle(worker: Reconciler, portal: Portal, user: User, which: str, state: State) -> None:
    """Let the worker go on until the deployment has this state; the test's own limit ends it."""
    while deployments.get(portal, user, which).state is not state:
        worker.dispatch()
