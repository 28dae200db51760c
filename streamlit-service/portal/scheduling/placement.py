"""Which VM, which GPUs, which ports: pure functions over what the database holds.

Decides, records nothing.

Filter (state, access, GPUs, memory, CPUs, driver), then score (the home first, GPUs packed, other
work spread), then an explanation. GPUs of one deployment are always of one model.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from packaging.version import InvalidVersion, Version

from portal.core.errors import NoCapacity
from portal.core.models import Gpu, GpuState, Vm, VmState
from portal.core.ports import SLOTS_PER_USER
from portal.core.resources import Resources, exceeds

UNKNOWN_SIZE = float("inf")
SHOWN = 5
"""How many VMs' reasons a refusal names."""


@dataclass(frozen=True, kw_only=True)
class Need(Resources):
    """What a deployment takes from a VM. `model` is a GPU model by name, or "" for any."""

    model: str = ""
    min_driver: str = ""


@dataclass(frozen=True)
class VmCapacity:
    """A VM, with what is free on it now. `free` lists unleased, working GPUs by model."""

    vm: Vm
    free_memory_gb: float = UNKNOWN_SIZE
    free: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    working: Mapping[str, int] = field(default_factory=dict)
    """Working GPUs by model, leased or not."""
    slices: frozenset[str] = frozenset()
    """Models that are MIG instances: only asked for by name, or where there is nothing else."""


def capacity_of(
    vm: Vm, gpus: Iterable[Gpu], leased: Collection[str], held_memory_gb: float
) -> VmCapacity:
    """A VM's capacity from what the inventory saw and what leases hold."""
    free: dict[str, list[str]] = {}
    working: dict[str, int] = {}
    slices = set()
    for gpu in gpus:
        if gpu.state is not GpuState.OK:
            continue
        working[gpu.model] = working.get(gpu.model, 0) + 1
        if gpu.uuid not in leased:
            free.setdefault(gpu.model, []).append(gpu.uuid)
        if gpu.parent is not None:
            slices.add(gpu.model)
    memory = UNKNOWN_SIZE if vm.memory_gb is None else vm.memory_gb - held_memory_gb
    by_model = {model: tuple(uuids) for model, uuids in free.items()}
    return VmCapacity(vm, memory, by_model, working, frozenset(slices))


def never(need: Need, capacity: VmCapacity) -> str:
    """Why a VM could not take this even when it is empty, in words; "" when it could."""
    vm = capacity.vm
    if vm.memory_gb is not None and exceeds(need.memory_gb, vm.memory_gb):
        return f"has {vm.memory_gb:g} GB of memory, {need.memory_gb:g} GB asked for"
    if vm.cpus is not None and exceeds(need.cpus, vm.cpus):
        return f"has {vm.cpus} CPUs, {need.cpus:g} asked for"
    return _never_gpus(need, capacity) if need.gpus else ""


def big_enough(need: Need, vm: Vm) -> bool:
    """The part of never() that is about memory and CPUs."""
    return not (
        (vm.memory_gb is not None and exceeds(need.memory_gb, vm.memory_gb))
        or (vm.cpus is not None and exceeds(need.cpus, vm.cpus))
    )


def _never_gpus(need: Need, capacity: VmCapacity) -> str:
    vm = capacity.vm
    if vm.gpu_problem:
        return f"cannot use its GPUs ({vm.gpu_problem.replace('_', ' ')})"
    most = max((capacity.working[model] for model in models(need, capacity)), default=0)
    if most < need.gpus:
        name = f" {need.model}" if need.model else ""
        if most:
            return f"has {_gpus(most, name)} of one model, {need.gpus:g} asked for"
        return f"has no{name} GPU"
    if need.min_driver and _version(vm.driver or "0") < _version(need.min_driver):
        return f"has NVIDIA driver {vm.driver or 'unknown'}, the image needs {need.min_driver}"
    return ""


def open_now(capacity: VmCapacity) -> bool:
    """Whether the VM takes new containers at all, as far as anybody knows."""
    return capacity.vm.reachable and capacity.vm.state is VmState.ACTIVE


def _closed(vm: Vm) -> str:
    """Why it takes no new containers."""
    if not vm.reachable:
        return "cannot be reached"
    why = "not verified yet" if vm.state is VmState.NEW else "draining"
    return f"takes no new containers ({why})"


def not_now(need: Need, capacity: VmCapacity) -> str:
    """Why a VM that could take this cannot take it now; "" when it can."""
    if not open_now(capacity):
        return _closed(capacity.vm)
    if exceeds(need.memory_gb, capacity.free_memory_gb):
        free_gb = max(capacity.free_memory_gb, 0)
        return f"{free_gb:.1f} GB of memory free, {need.memory_gb:g} GB asked for"
    if need.gpus and best_model(need, capacity) is None:
        fitting = list(models(need, capacity))
        free = max((len(capacity.free.get(model, ())) for model in fitting), default=0)
        working = max(capacity.working[model] for model in fitting)
        return f"{free} of {_gpus(working)} free, {need.gpus:g} asked for"
    return ""


def best_model(need: Need, capacity: VmCapacity, reserved: Reserved | None = None) -> str | None:
    """The model to take the GPUs of: the one that leaves the fewest behind.

    None when none has enough.
    """
    excluded = reserved.models if reserved is not None else ()
    enough = [
        model
        for model in models(need, capacity)
        if model not in excluded and len(capacity.free.get(model, ())) >= need.gpus
    ]
    return min(enough, key=lambda model: (len(capacity.free[model]), model), default=None)


class Reserved:
    """What is kept on a VM for those ahead in the queue: GPUs by model, memory by amount."""

    __slots__ = ("memory_gb", "models")

    def __init__(self) -> None:
        self.memory_gb = 0.0
        self.models: set[str] = set()

    def add(self, memory_gb: float, models: frozenset[str]) -> None:
        """Keep what somebody waits for."""
        self.memory_gb += memory_gb
        if not models <= self.models:
            self.models |= models


def models(need: Need, capacity: VmCapacity) -> Iterable[str]:
    """Models that will do. Several slices are no substitute for several GPUs."""
    if need.model:
        return [need.model] if need.model in capacity.working else []
    whole = [model for model in capacity.working if model not in capacity.slices]
    return whole or (list(capacity.slices) if need.gpus == 1 else [])


@dataclass(frozen=True)
class Placement:
    """Where a deployment goes, and why there."""

    vm: Vm
    gpus: tuple[str, ...]
    why: str


def place(
    need: Need, capacities: Sequence[VmCapacity], homes: Collection[int] = ()
) -> Placement | None:
    """The best VM that takes it now, or None.

    `homes`: VM ids that hold the user's home folder.
    """
    return pick(need, [each for each in capacities if not never(need, each)], homes)


def pick(
    need: Need,
    capacities: Sequence[VmCapacity],
    homes: Collection[int] = (),
    reserved: Mapping[int, Reserved] | None = None,
) -> Placement | None:
    """As place(), of VMs that could take it when empty, leaving what is reserved for others."""
    best: tuple[tuple[Any, ...], VmCapacity, str | None] | None = None
    for capacity in capacities:
        reserved_here = reserved.get(capacity.vm.id) if reserved else None
        free_gb = capacity.free_memory_gb - (reserved_here.memory_gb if reserved_here else 0)
        if exceeds(need.memory_gb, free_gb) or not open_now(capacity):
            continue
        model = best_model(need, capacity, reserved_here) if need.gpus else None
        if need.gpus and model is None:
            continue
        score = _score(capacity, model, homes)
        if best is None or score < best[0]:
            best = score, capacity, model
    if best is None:
        return None
    _, capacity, model = best
    gpus = capacity.free[model][: int(need.gpus)] if model else ()
    return Placement(capacity.vm, gpus, _why(need, capacity, homes))


def _score(capacity: VmCapacity, model: str | None, homes: Collection[int]) -> tuple[Any, ...]:
    """Smaller is better: the home, then GPUs packed, CPU work off GPU machines and spread."""
    elsewhere, vm = capacity.vm.id not in homes, capacity.vm
    if model:
        return elsewhere, len(capacity.free[model]), capacity.free_memory_gb, vm.name
    # Containers share a VM's CPUs: what nobody uses elsewhere is lost.
    share = capacity.free_memory_gb / vm.memory_gb if vm.memory_gb else 1.0
    return elsewhere, sum(capacity.working.values()), -share, vm.name


def _why(need: Need, capacity: VmCapacity, homes: Collection[int]) -> str:
    if capacity.vm.id in homes:
        return "your home folder is there"
    if need.gpus:
        return "it fits with the fewest GPUs left over"
    return "it has the most room now"


def refusal(need: Need, capacities: Sequence[VmCapacity]) -> NoCapacity:
    """The error for a need that no VM can ever take, with each VM's reason."""
    if not capacities:
        return NoCapacity(
            "no_vm",
            "No VM is assigned to you, and there is no shared one.",
            "Ask your administrator to assign you a VM.",
        )
    reasons = "; ".join(
        f"{each.vm.name}: {never(need, each) or not_now(need, each)}" for each in capacities[:SHOWN]
    )
    more = f"; and {len(capacities) - SHOWN} more" if len(capacities) > SHOWN else ""
    without_gpu = need.gpus and not any(each.working for each in capacities)
    hint = "Ask for less, or ask your administrator."
    if not any(never(need, each) for each in capacities):
        hint = "Try again later, or ask your administrator."
    return NoCapacity(
        "no_gpu" if without_gpu else "no_room",
        f"None of your VMs can run this: {reasons}{more}.",
        hint,
    )


def choose_slot(taken: Collection[int]) -> int:
    """The lowest free slot of a user's range. NoCapacity when all ten are in use."""
    for slot in range(SLOTS_PER_USER):
        if slot not in taken:
            return slot
    raise NoCapacity(
        "no_port",
        f"All {SLOTS_PER_USER} places in your port range are in use.",
        "Remove a container that you no longer need.",
    )


def _gpus(count: float, name: str = "") -> str:
    return f"{count:g}{name} GPU" if count == 1 else f"{count:g}{name} GPUs"


@lru_cache(maxsize=1024)
def _version(text: str) -> Version:
    """A driver's version, such as 535.104.05; one that cannot be read is older than any."""
    try:
        return Version(text)
    except InvalidVersion:
        return Version("0")
