"""A machine that comes (back) under any name: GPUs that its containers hold are nobody else's."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from portal import db, deployments, vms
from portal.context import Portal
from portal.core.errors import EngineError, NoCapacity
from portal.core.models import Deployment, GpuState, State, Vm
from portal.core.people import User
from portal.jobs import observe
from portal.monitoring import health
from support.fakes import FakeEngine
from support.gpu_world import ask, report
from support.samples import TEST

WorkOff = Callable[..., Deployment]


def vm_named(portal: Portal, name: str) -> Vm:
    with portal.database.reading() as tx:
        vm = db.vms.by_name(tx, name)
    assert vm
    return vm


def look(portal: Portal, name: str, engine: FakeEngine) -> None:
    """As the worker does, whichever of both comes first."""
    for _ in range(2):
        observe.observe_gpus(portal, vm_named(portal, name), engine)
        observe.observe(portal, vm_named(portal, name), engine)


@pytest.fixture
def lost(
    portal: Portal, jane: User, engine: FakeEngine, gpu_vm: Vm, work_off: WorkOff
) -> Deployment:
    """Jane's, with both GPUs, on a VM that was given up while it ran on."""
    engine.report = report()
    made = work_off(ask(portal, jane, "mine", 2).id)
    vms.record_unreachable(portal, vm_named(portal, "vm-01"), "gone")
    deployments.remove_lost_vm(portal, TEST, "vm-01", "it burnt down")
    return made


@pytest.mark.parametrize("name", ["vm-01", "vm-09"])
def test_what_a_container_holds_that_cannot_be_removed_is_given_to_nobody(
    portal: Portal, john: User, engine: FakeEngine, lost: Deployment, name: str
) -> None:
    engine.failing["remove"] = EngineError("engine_refused", "Device or resource busy.", "Ask.")
    vms.add(portal, TEST, name, "ssh://portal@back", "10.0.0.9")
    look(portal, name, engine)
    with pytest.raises(NoCapacity, match="has no GPU"):
        ask(portal, john, "his", 2)


@pytest.mark.parametrize("name", ["vm-01", "vm-09"])
def test_once_it_is_gone_they_are_given_to_the_next(
    portal: Portal,
    john: User,
    engine: FakeEngine,
    lost: Deployment,
    work_off: WorkOff,
    name: str,
) -> None:
    vms.add(portal, TEST, name, "ssh://portal@back", "10.0.0.9")
    look(portal, name, engine)
    work_off(lost.id)  # on its own VM it is stopped, on another it is an orphan
    look(portal, name, engine)
    assert not any(box.running for box in engine.boxes.values())
    assert ask(portal, john, "his", 2).state is State.PENDING


def test_an_unwanted_container_on_a_vm_in_use_keeps_its_gpus_and_that_is_told(
    portal: Portal, jane: User, john: User, engine: FakeEngine, gpu_vm: Vm, work_off: WorkOff
) -> None:
    """As after an older backup was restored: nobody knows of the container."""
    engine.report = report()
    look(portal, "vm-01", engine)
    made = work_off(ask(portal, jane, "mine").id)
    with portal.database.transaction() as tx:
        db.deployments.update(tx, made.id, state=State.REMOVED)
        db.leases.release(tx, made.id, portal.now())
    engine.failing["remove"] = EngineError("engine_refused", "Device or resource busy.", "Ask.")
    for _ in range(2):
        observe.observe(portal, vm_named(portal, "vm-01"), engine)
        observe.observe_gpus(portal, vm_named(portal, "vm-01"), engine)
    with portal.database.reading() as tx:
        gpus = db.gpus.of_vm(tx, gpu_vm.id)
    held = gpus[made.gpu_uuids[0]]
    assert (held.state, held.problem) == (GpuState.UNHEALTHY, observe.HELD_BY_ORPHAN)
    assert ask(portal, john, "his").gpu_uuids != made.gpu_uuids
    told = [each.message for each in health.of_records(portal) if each.check == "gpu"]
    assert any("held by an unwanted container" in message for message in told)


def test_gpus_of_a_container_that_was_given_up_are_told_until_it_is_gone(
    portal: Portal, jane: User, engine: FakeEngine, gpu_vm: Vm, work_off: WorkOff
) -> None:
    engine.report = report()
    made = work_off(ask(portal, jane, "mine", 2).id)
    deployments.act(portal, jane, made.id, "stop")
    engine.failing |= {
        name: EngineError("engine_refused", "It hangs.", "Ask.") for name in ("stop", "remove")
    }
    work_off(made.id)
    deployments.give_up(portal, TEST, made.id, "The process hangs in the driver.")
    [status] = [each for each in health.of_records(portal) if each.check == "gpu"]
    assert status.message.startswith("2 GPUs of vm-01 cannot be given to others: mine of Jane")
    assert f"docker rm --force portal-{made.id}" in status.next_step
