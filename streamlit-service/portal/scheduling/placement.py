"""Which VM, which GPUs, which ports: pure functions over what the database holds.

Decides, records nothing.

Filter (state, access, GPUs, memory, CPUs, driver), then score (the user's home first, then pack),
then an explanation. GPUs of one deployment are always of one model.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from portal.core.errors import NoCapacity
from portal.core.models import Gpu, GpuState, User, Vm, VmState
from portal.core.ports import SLOTS_PER_USER

SHARED_POOL = "shared"
UNKNOWN_SIZE = float("inf")


@dataclass(frozen=True)
class Need:
    """What a deployment takes from a VM. `model` is a GPU model by name, or "" for any."""

    memory_gb: float
    cpus: float
    gpus: int = 0
    model: str = ""
    min_driver: str = ""


@dataclass(frozen=True)
class Room:
    """A VM, with what is free on it now. `free` lists unleased, working GPUs by model."""

    vm: Vm
    free_memory_gb: float = UNKNOWN_SIZE
    free: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    working: Mapping[str, int] = field(default_factory=dict)
    """Working GPUs by model, leased or not."""
    slices: frozenset[str] = frozenset()
    """Models that are MIG instances: only asked for by name, or where there is nothing else."""


def room_of(vm: Vm, gpus: Iterable[Gpu], leased: Collection[str], held_memory_gb: float) -> Room:
    """A room from what the inventory saw and what leases hold."""
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
    return Room(
        vm, memory, {model: tuple(ids) for model, ids in free.items()}, working, frozenset(slices)
    )


def candidates(vms: Sequence[Vm], user: User) -> list[Vm]:
    """The user's own VMs; without any, the shared pool's and those of their group's pool."""
    own = [vm for vm in vms if vm.owner_id == user.id]
    pools = {SHARED_POOL, user.group}
    return own or [vm for vm in vms if vm.owner_id is None and vm.pool in pools]


def never(need: Need, room: Room) -> str:
    """Why a VM could not take this even when it is empty, in words; "" when it could."""
    vm = room.vm
    if vm.memory_gb is not None and need.memory_gb > vm.memory_gb:
        return f"has {vm.memory_gb:g} GB of memory, {need.memory_gb:g} GB asked for"
    if vm.cpus is not None and need.cpus > vm.cpus:
        return f"has {vm.cpus} CPUs, {need.cpus:g} asked for"
    return _never_gpus(need, room) if need.gpus else ""


def big_enough(need: Need, vm: Vm) -> bool:
    """The part of never() that is about memory and CPUs."""
    return (vm.memory_gb is None or need.memory_gb <= vm.memory_gb) and (
        vm.cpus is None or need.cpus <= vm.cpus
    )


def _never_gpus(need: Need, room: Room) -> str:
    if room.vm.gpu_problem:
        return f"cannot use its GPUs ({room.vm.gpu_problem.replace('_', ' ')})"
    most = max((room.working[model] for model in models(need, room)), default=0)
    if most < need.gpus:
        name = f" {need.model}" if need.model else ""
        return (
            f"has {_gpus(most, name)} of one model, {need.gpus} asked for"
            if most
            else f"has no{name} GPU"
        )
    if need.min_driver and _version(room.vm.driver or "0") < _version(need.min_driver):
        return f"has NVIDIA driver {room.vm.driver or 'unknown'}, the image needs {need.min_driver}"
    return ""


def open_now(room: Room) -> bool:
    """Whether the VM takes new containers at all, as far as anybody knows."""
    return room.vm.reachable and room.vm.state is VmState.ACTIVE


def _closed(vm: Vm) -> str:
    """Why it takes no new containers."""
    if not vm.reachable:
        return "cannot be reached"
    return (
        f"takes no new containers ({'not proven yet' if vm.state is VmState.NEW else 'draining'})"
    )


def not_now(need: Need, room: Room) -> str:
    """Why a VM that could take this cannot take it now; "" when it can."""
    if not open_now(room):
        return _closed(room.vm)
    if need.memory_gb > room.free_memory_gb:
        return (
            f"{max(room.free_memory_gb, 0):.1f} GB of memory free, {need.memory_gb:g} GB asked for"
        )
    if need.gpus and best_model(need, room) is None:
        free = max((len(room.free.get(model, ())) for model in models(need, room)), default=0)
        return (
            f"{free} of {_gpus(max(room.working[m] for m in models(need, room)))} free, "
            f"{need.gpus} asked for"
        )
    return ""


def best_model(need: Need, room: Room, kept: Kept | None = None) -> str | None:
    """The model to take the GPUs of: the one that leaves the fewest behind.

    None when none has enough.
    """
    taboo = kept.models if kept is not None else ()
    enough = [
        m for m in models(need, room) if m not in taboo and len(room.free.get(m, ())) >= need.gpus
    ]
    return min(enough, key=lambda m: (len(room.free[m]), m), default=None)


class Kept:
    """What is kept on a VM for those ahead in line: GPUs by model, memory by amount."""

    __slots__ = ("memory_gb", "models")

    def __init__(self) -> None:
        self.memory_gb = 0.0
        self.models: set[str] = set()

    def add(self, memory_gb: float, models: frozenset[str]) -> None:
        """Keep what somebody waits for."""
        self.memory_gb += memory_gb
        if not models <= self.models:
            self.models |= models


def models(need: Need, room: Room) -> Iterable[str]:
    """Models that answer the wish. Several slices are no substitute for several GPUs."""
    if need.model:
        return [need.model] if need.model in room.working else []
    whole = [model for model in room.working if model not in room.slices]
    return whole or (list(room.slices) if need.gpus == 1 else [])


@dataclass(frozen=True)
class Placement:
    """Where a deployment goes, and why there."""

    vm: Vm
    gpus: tuple[str, ...]
    why: str


def place(need: Need, rooms: Sequence[Room], homes: Collection[int] = ()) -> Placement | None:
    """The best room that takes it now, or None.

    `homes`: VM ids that hold the user's home folder.
    """
    return pick(need, [room for room in rooms if not never(need, room)], homes)


def pick(
    need: Need,
    rooms: Sequence[Room],
    homes: Collection[int] = (),
    kept: Mapping[int, Kept] | None = None,
) -> Placement | None:
    """As place(), of VMs that could take it when empty, leaving what is reserved for others."""
    best: tuple[tuple[Any, ...], Room, str | None] | None = None
    for room in rooms:
        held = kept.get(room.vm.id) if kept else None
        if need.memory_gb > room.free_memory_gb - (held.memory_gb if held else 0) or not open_now(
            room
        ):
            continue
        model = best_model(need, room, held) if need.gpus else None
        if need.gpus and model is None:
            continue
        score = _score(room, model, homes)
        if best is None or score < best[0]:
            best = score, room, model
    if best is None:
        return None
    _, room, model = best
    return Placement(
        room.vm, room.free[model][: need.gpus] if model else (), _why(need, room, homes)
    )


def _score(room: Room, model: str | None, homes: Collection[int]) -> tuple[Any, ...]:
    """Smaller is better: the home, then GPUs packed, CPU work off GPU machines, memory packed."""
    left_over = len(room.free[model]) if model else sum(room.working.values())
    return room.vm.id not in homes, left_over, room.free_memory_gb, room.vm.name


def _why(need: Need, room: Room, homes: Collection[int]) -> str:
    if room.vm.id in homes:
        return "your home folder is there"
    return (
        "it fits with the fewest GPUs left over"
        if need.gpus
        else "it fits with the least memory left over"
    )


def refusal(need: Need, rooms: Sequence[Room]) -> NoCapacity:
    """The error for a need that no room can ever take, with each VM's reason."""
    if not rooms:
        return NoCapacity(
            "no_vm",
            "No VM is assigned to you, and there is no shared one.",
            "Ask your administrator to assign you a VM.",
        )
    reasons = "; ".join(
        f"{room.vm.name}: {never(need, room) or not_now(need, room)}" for room in rooms[:5]
    )
    more = f"; and {len(rooms) - 5} more" if len(rooms) > 5 else ""
    code = "no_gpu" if need.gpus and not any(room.working for room in rooms) else "no_room"
    hint = "Ask for less, or ask your administrator."
    if not any(never(need, room) for room in rooms):
        hint = "Try again later, or ask your administrator."
    return NoCapacity(code, f"None of your VMs can run this: {reasons}{more}.", hint)


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


def _gpus(count: int, name: str = "") -> str:
    return f"{count}{name} GPU" if count == 1 else f"{count}{name} GPUs"


def _version(text: str) -> tuple[int, ...]:
    """535.104.05 → (535, 104, 5); what is no number counts as 0."""
    return tuple(int(part) if part.isdigit() else 0 for part in text.split("."))
