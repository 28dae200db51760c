"""Which VM and which slot: pure functions over what the store read. Decides, records nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from portal.errors import NoCapacity
from portal.models import Order, User, Vm, VmState
from portal.ports import SLOTS_PER_USER


@dataclass(frozen=True)
class Load:
    """What live deployments on a VM hold."""

    memory_gb: float = 0.0
    deployments: int = 0


def candidates(vms: Sequence[Vm], user: User) -> list[Vm]:
    """The user's own VMs, or the pool's when they have none."""
    own = [vm for vm in vms if vm.owner_id == user.id]
    return own or [vm for vm in vms if vm.owner_id is None]


def choose_vm(order: Order, user: User, vms: Sequence[Vm], loads: Mapping[int, Load]) -> Vm:
    """The VM with the most free memory that fits. NoCapacity says why none does."""
    usable = candidates(vms, user)
    if not usable:
        raise NoCapacity("no_vm", "No VM is assigned to you, and there is no shared one.",
                         "Ask your administrator to assign you a VM.")  # fmt: skip
    if order.gpus:
        raise NoCapacity("no_gpu", "None of your VMs has a GPU that the portal can hand out.",
                         "Choose 0 GPUs, or ask your administrator.")  # fmt: skip
    reasons, fitting = [], []
    for vm in usable:
        reason = why_not(order, vm, loads.get(vm.id, Load()))
        if reason:
            reasons.append(f"{vm.name}: {reason}")
        else:
            fitting.append(vm)
    if not fitting:
        raise NoCapacity("no_room", f"No VM has room now. {'; '.join(reasons)}.",
                         "Ask for less, stop a container, or try again later.")  # fmt: skip
    return min(fitting, key=lambda vm: (-_free(vm, loads.get(vm.id, Load())), vm.name))


def why_not(order: Order, vm: Vm, load: Load) -> str:
    """Why a VM cannot take the order, in words; empty when it can."""
    if vm.state is not VmState.ACTIVE:
        return "takes no new containers (draining)"
    if not vm.reachable:
        return "cannot be reached"
    if vm.memory_gb is not None and order.memory_gb > _free(vm, load):
        return f"{max(_free(vm, load), 0):.1f} GB of memory free, {order.memory_gb:g} GB asked for"
    if vm.cpus is not None and order.cpus > vm.cpus:
        return f"has {vm.cpus} CPUs, {order.cpus:g} asked for"
    return ""


def _free(vm: Vm, load: Load) -> float:
    return (vm.memory_gb if vm.memory_gb is not None else float("inf")) - load.memory_gb


def choose_slot(taken: Collection[int]) -> int:
    """The lowest free slot of a user's range. NoCapacity when all ten are in use."""
    for slot in range(SLOTS_PER_USER):
        if slot not in taken:
            return slot
    raise NoCapacity("no_port", f"All {SLOTS_PER_USER} places in your port range are in use.",
                     "Remove a container that you no longer need.")  # fmt: skip
