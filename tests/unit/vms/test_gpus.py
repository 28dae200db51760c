"""GPUs that go: kept and told while they are missed, forgotten when somebody says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from portal import db, deployments, vms
from portal.context import Portal
from portal.core.engine import SeenGpu
from portal.core.errors import Conflict, Forbidden, NotFound
from portal.core.models import Deployment, GpuState, State, Vm
from portal.core.people import User
from portal.monitoring import health
from portal.vms import gpus
from support.fakes import FakeEngine
from support.gpu_world import ask, report, see
from support.samples import TEST

WorkOff = Callable[..., Deployment]
MISSING = (
    "GPU 1 (A100, GPU-1) of vm-01 is missing: lost, taken out, or in MIG mode without instances."
)
INSTANCES = tuple(
    SeenGpu(f"MIG-{n}", n, "A100 1g.5gb", "GPU-1", 5, None, None, None) for n in range(2)
)


def states(portal: Portal, vm: Vm) -> dict[str, GpuState]:
    with portal.database.reading() as tx:
        return {uuid: gpu.state for uuid, gpu in db.gpus.of_vm(tx, vm.id).items()}


def told(portal: Portal) -> list[str]:
    """What health tells of GPUs."""
    return [status.message for status in health.of_records(portal) if status.check == "gpu"]


def test_a_leased_gpu_that_disappears_is_shown_and_not_given_to_others(
    portal: Portal, jane: User, john: User, gpu_vm: Vm, work_off: WorkOff
) -> None:
    made = ask(portal, jane, "mine")
    work_off(made.id)
    see(portal, report(gpus=report().gpus[1:]))
    with portal.database.reading() as tx:
        gone = db.gpus.of_vm(tx, gpu_vm.id)["GPU-0"]
        trail = [event.action for event in db.audit.events(tx, "gpu:GPU-0")]
    assert (gone.state, gone.problem) == (GpuState.MISSING, "vm-01 no longer reports it")
    assert trail == ["gpu.ok", "gpu.missing"]
    assert deployments.get(portal, jane, made.id).state is State.RUNNING
    assert ask(portal, john, "his").gpu_uuids == ("GPU-1",)


def test_a_gpu_that_nobody_holds_is_missed_too(portal: Portal, gpu_vm: Vm) -> None:
    assert told(portal) == []
    see(portal, report(1))
    assert states(portal, gpu_vm) == {"GPU-0": GpuState.OK, "GPU-1": GpuState.MISSING}
    assert told(portal) == [MISSING]
    see(portal, report(2))
    assert states(portal, gpu_vm) == {"GPU-0": GpuState.OK, "GPU-1": GpuState.OK}
    assert told(portal) == []


def test_one_that_is_out_of_order_is_told(portal: Portal, gpu_vm: Vm) -> None:
    first, second = report().gpus
    see(portal, report(gpus=(first, replace(second, problem="reset_needed"))))
    assert told(portal) == ["GPU 1 (A100, GPU-1) of vm-01 is out of order: reset needed."]


def test_one_that_another_of_its_model_replaced_is_forgotten(portal: Portal, gpu_vm: Vm) -> None:
    """A virtual GPU has another name after each boot of its VM: they must not pile up."""
    first, second = report().gpus
    see(portal, report(gpus=(first,)))
    see(portal, report(gpus=(first, replace(second, uuid="GPU-new"))))
    assert states(portal, gpu_vm) == {"GPU-0": GpuState.OK, "GPU-new": GpuState.OK}
    see(portal, report(gpus=(replace(second, uuid="GPU-T4", model="T4"),)))
    assert states(portal, gpu_vm) == {
        "GPU-0": GpuState.MISSING,
        "GPU-new": GpuState.MISSING,
        "GPU-T4": GpuState.OK,
    }


def test_one_that_the_engine_cannot_hand_out_is_told_with_the_way_on(
    portal: Portal, gpu_vm: Vm
) -> None:
    first, second = report().gpus
    see(portal, report(gpus=(first, replace(second, problem="not_in_cdi"))))
    [status] = [each for each in health.of_records(portal) if each.check == "gpu"]
    assert "in none of the CDI files" in status.message
    assert "nvidia-ctk cdi generate" in status.next_step


def test_what_keeps_all_of_a_vm_from_use_is_told_once(portal: Portal, gpu_vm: Vm) -> None:
    see(portal, report(0, problem="driver_broken"))
    assert told(portal) == ["vm-01 has an NVIDIA driver that does not answer."]


def test_gpus_that_nobody_can_get_are_not_shown_as_free(
    portal: Portal, jane: User, gpu_vm: Vm
) -> None:
    see(portal, report(access=None, problem="no_toolkit"))
    assert {each.hold for each in gpus.overview(portal, jane)} == {gpus.Hold.OUT_OF_ORDER}
    assert [offer.free for offer in gpus.offers(portal, jane)] == [0]


def test_what_mig_splits_up_or_joins_is_not_missed(portal: Portal, gpu_vm: Vm) -> None:
    whole, split = report(), report(gpus=(*report(1).gpus, *INSTANCES))
    see(portal, split)
    assert set(states(portal, gpu_vm)) == {"GPU-0", "MIG-0", "MIG-1"}
    see(portal, whole)
    assert set(states(portal, gpu_vm)) == {"GPU-0", "GPU-1"}
    assert told(portal) == []


def test_instances_whose_gpu_is_away_with_them_are_missed(portal: Portal, gpu_vm: Vm) -> None:
    see(portal, report(gpus=(*report(1).gpus, *INSTANCES)))
    see(portal, report(1))
    assert states(portal, gpu_vm) == {
        "GPU-0": GpuState.OK,
        "MIG-0": GpuState.MISSING,
        "MIG-1": GpuState.MISSING,
    }
    assert len(told(portal)) == len(INSTANCES)


def test_of_two_vms_that_name_one_broken_gpu_the_first_keeps_it(portal: Portal, gpu_vm: Vm) -> None:
    vms.add(portal, TEST, "vm-02", "ssh://portal@vm-02", "10.0.0.2")
    [gpu] = report(1).gpus
    broken = report(gpus=(replace(gpu, problem="gpu_error"),))
    for _ in range(3):
        see(portal, broken, "vm-01")
        see(portal, broken, "vm-02")
    with portal.database.reading() as tx:
        trail = [event.action for event in db.audit.events(tx, "gpu:GPU-0")]
    assert trail == ["gpu.ok", "gpu.unhealthy"]


def test_a_missing_gpu_is_written_once_not_at_every_look(portal: Portal, gpu_vm: Vm) -> None:
    for _ in range(3):
        see(portal, report(1))
    with portal.database.reading() as tx:
        trail = [event.action for event in db.audit.events(tx, "gpu:GPU-1")]
    assert trail == ["gpu.ok", "gpu.missing"]


def test_one_that_was_taken_out_is_forgotten_and_back_when_it_is_seen(
    portal: Portal, gpu_vm: Vm
) -> None:
    see(portal, report(1))
    gpus.forget(portal, TEST, "vm-01", "GPU-1")
    assert states(portal, gpu_vm) == {"GPU-0": GpuState.OK}
    assert told(portal) == []
    see(portal, report(2))
    assert states(portal, gpu_vm) == {"GPU-0": GpuState.OK, "GPU-1": GpuState.OK}


def test_only_administrators_forget_and_only_what_is_missing_and_free(
    portal: Portal, jane: User, gpu_vm: Vm, engine: FakeEngine, work_off: WorkOff
) -> None:
    with pytest.raises(Forbidden):
        gpus.forget(portal, jane, "vm-01", "GPU-1")
    with pytest.raises(NotFound, match="has no GPU GPU-9"):
        gpus.forget(portal, TEST, "vm-01", "GPU-9")
    with pytest.raises(NotFound, match="no VM vm-09"):
        gpus.forget(portal, TEST, "vm-09", "GPU-1")
    with pytest.raises(Conflict, match="not missing"):
        gpus.forget(portal, TEST, "vm-01", "GPU-0")
    made = ask(portal, jane, "mine")
    work_off(made.id)
    see(portal, report(0))
    with pytest.raises(Conflict, match=made.id):
        gpus.forget(portal, TEST, "vm-01", "GPU-0")
