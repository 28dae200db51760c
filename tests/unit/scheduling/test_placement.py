"""Filter, score, explain."""

from __future__ import annotations

from typing import Any

import pytest
from portal.core.models import GpuState, VmState
from portal.scheduling import placement
from portal.scheduling.placement import Need
from support.samples import capacity, gpu, vm


def one_gb(**more: Any) -> Need:
    """A small need: 1 GB and 1 CPU, and more if given."""
    return Need(memory_gb=1, cpus=1, **more)


def test_gpus_are_packed_so_that_big_requests_find_whole_vms() -> None:
    placed = placement.place(one_gb(gpus=1), [capacity(1), capacity(2, leased=3)])
    assert placed and placed.vm.id == 2 and placed.gpus == ("GPU-2-3",)


def test_work_without_gpus_stays_off_gpu_machines_while_it_can() -> None:
    placed = placement.place(one_gb(), [capacity(1), capacity(2, gpus=0)])
    assert placed and placed.vm.id == 2 and placed.gpus == ()


def test_the_vm_with_the_users_home_comes_first() -> None:
    placed = placement.place(one_gb(gpus=1), [capacity(1), capacity(2, leased=3)], homes={1})
    assert placed and placed.vm.id == 1 and placed.why == "your home folder is there"


@pytest.mark.parametrize(
    ("need", "changes", "why"),
    [
        (Need(memory_gb=128, cpus=1), {}, "has 64 GB of memory, 128 GB asked for"),
        (Need(memory_gb=1, cpus=99), {}, "has 16 CPUs, 99 asked for"),
        (one_gb(gpus=5), {}, "has 4 GPUs of one model, 5 asked for"),
        (one_gb(gpus=1, model="H100"), {}, "has no H100 GPU"),
        (one_gb(gpus=1), {"gpus": 0}, "has no GPU"),
        (
            one_gb(gpus=1, min_driver="550.54"),
            {},
            "has NVIDIA driver 535.104.05, the image needs 550.54",
        ),
        (
            one_gb(gpus=1),
            {"gpu_problem": "no_toolkit"},
            "cannot use its GPUs (no toolkit)",
        ),
    ],
)
def test_what_a_vm_can_never_do_is_said_in_words(
    need: Need, changes: dict[str, Any], why: str
) -> None:
    assert placement.never(need, capacity(1, **changes)) == why
    assert placement.place(need, [capacity(1, **changes)]) is None


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"state": VmState.DRAINING}, "takes no new containers (draining)"),
        ({"reachable": False}, "cannot be reached"),
        ({"held_gb": 60}, "4.0 GB of memory free, 8 GB asked for"),
        ({"leased": 3}, "1 of 4 GPUs free, 2 asked for"),
    ],
)
def test_what_a_vm_cannot_do_now_is_said_in_words(changes: dict[str, Any], why: str) -> None:
    need = Need(memory_gb=8, cpus=1, gpus=2)
    assert placement.never(need, capacity(1, **changes)) == ""
    assert placement.not_now(need, capacity(1, **changes)) == why


def test_driver_versions_are_compared_as_numbers() -> None:
    assert placement.never(one_gb(gpus=1, min_driver="535.54.03"), capacity(1)) == ""


def test_gpus_of_one_deployment_are_of_one_model() -> None:
    mixed = placement.capacity_of(
        vm(1), [gpu(1, 0, "A100"), gpu(1, 1, "A100"), gpu(1, 2, "L4"), gpu(1, 3, "L4")], (), 0
    )
    placed = placement.place(one_gb(gpus=2), [mixed])
    assert placed and placed.gpus in (("GPU-1-0", "GPU-1-1"), ("GPU-1-2", "GPU-1-3"))
    assert "4 asked for" in placement.never(one_gb(gpus=4), mixed)


def test_a_mig_instance_is_no_substitute_for_several_gpus() -> None:
    sliced = placement.capacity_of(
        vm(1), [gpu(1, i, "MIG 1g.10gb", parent="GPU-0") for i in range(7)], (), 0
    )
    placed = placement.place(one_gb(gpus=1), [sliced])
    assert placed and placed.gpus == ("GPU-1-0",)
    assert placement.never(one_gb(gpus=2), sliced)
    assert placement.never(one_gb(gpus=2, model="MIG 1g.10gb"), sliced) == ""


def test_gpus_that_are_ill_or_gone_are_not_handed_out() -> None:
    cards = [gpu(1, 0, state=GpuState.UNHEALTHY), gpu(1, 1, state=GpuState.MISSING), gpu(1, 2)]
    placed = placement.place(one_gb(gpus=1), [placement.capacity_of(vm(1), cards, (), 0)])
    assert placed and placed.gpus == ("GPU-1-2",)


def test_work_without_gpus_is_spread_since_containers_share_a_vms_cpus() -> None:
    held = {1: 0.0, 2: 0.0}
    for _ in range(10):
        vms = [capacity(number, gpus=0, held_gb=gb) for number, gb in held.items()]
        placed = placement.place(Need(memory_gb=0.5, cpus=1), vms)
        assert placed is not None
        held[placed.vm.id] += 0.5
    assert held == {1: 2.5, 2: 2.5}
