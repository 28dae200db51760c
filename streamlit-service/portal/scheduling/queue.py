"""The queue: who of those waiting starts now. Pure; admission.py records what it decides.

First come, first served among those who could use the same VMs. Somebody behind may pass only where
that delays nobody ahead: nobody knows how long a container runs, so what a VM has left is reserved
for whoever waits for that VM ahead of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from portal.scheduling import placement
from portal.scheduling.placement import Need, Placement, Reserved, VmCapacity

SHOWN = 3
"""How many VMs' reasons a person is shown."""


@dataclass(frozen=True)
class Waiting:
    """One in the queue. `eligible` names the set of VMs it may use; equal names, equal sets."""

    id: str
    need: Need
    eligible: str
    homes: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Decision:
    """A placement, or the place in the queue (from 1) with what it waits for."""

    id: str
    placement: Placement | None
    position: int = 0
    waits_for: str = ""
    possible: bool = True
    """Whether some VM could ever take it, as the VMs are now."""
    nowhere: bool = False
    """Whether there is no VM at all that it may use."""


def evaluate(
    queue: Sequence[Waiting],
    eligible: Mapping[str, Collection[int]],
    capacities: Mapping[int, VmCapacity],
) -> list[Decision]:
    """Walk the queue from its head. Earlier in the queue never loses to later in it."""
    walk = _Walk(eligible, dict(capacities))
    return [walk.step(waiting) for waiting in queue]


class _Walk:
    """The state of one pass: what is left, what is reserved for those ahead, what was computed."""

    def __init__(
        self, eligible: Mapping[str, Collection[int]], capacities: dict[int, VmCapacity]
    ) -> None:
        self._capacities = capacities
        self._eligible = {name: frozenset(vms) for name, vms in eligible.items()}
        self._reserved: dict[int, Reserved] = {}
        self._behind: Counter[str] = Counter()
        self._able: dict[tuple[str, float, str, str], list[tuple[int, frozenset[str]]]] = {}
        # Free space only shrinks in a walk: the same need fails again.
        self._refused: set[tuple[Need, str]] = set()

    def step(self, waiting: Waiting) -> Decision:
        """The decision on the next in the queue."""
        need = waiting.need
        could = self._could(waiting)
        capacities = [self._capacities[vm] for vm, _ in could]
        placed = None
        if (need, waiting.eligible) not in self._refused:
            placed = placement.pick(need, capacities, waiting.homes, self._reserved)
        if placed:
            self._capacities[placed.vm.id] = _taken(self._capacities[placed.vm.id], need, placed)
            return Decision(waiting.id, placed)
        self._refused.add((need, waiting.eligible))
        for vm, models in could:
            if vm not in self._reserved:
                self._reserved[vm] = Reserved()
            self._reserved[vm].add(need.memory_gb, models)
        return Decision(
            waiting.id,
            None,
            self._position(waiting.eligible),
            self._why(waiting, capacities),
            possible=bool(could),
            nowhere=not self._eligible[waiting.eligible],
        )

    def _position(self, eligible: str) -> int:
        """The place behind everybody so far whose VMs overlap."""
        self._behind[eligible] += 1
        mine = self._eligible[eligible]
        return sum(
            count
            for name, count in self._behind.items()
            if name == eligible or not self._eligible[name].isdisjoint(mine)
        )

    def _could(self, waiting: Waiting) -> list[tuple[int, frozenset[str]]]:
        """VMs that could take it when they are empty, with the GPU models it would use there.

        What depends on GPUs is the same for many, and found once.
        """
        need = waiting.need
        key = (waiting.eligible, need.gpus, need.model, need.min_driver)
        if key not in self._able:
            only_gpus = replace(need, memory_gb=0, cpus=0)
            vms = [self._capacities[vm] for vm in sorted(self._eligible[waiting.eligible])]
            self._able[key] = [
                (each.vm.id, frozenset(placement.models(need, each) if need.gpus else ()))
                for each in vms
                if not placement.never(only_gpus, each)
            ]
        return [
            (vm, models)
            for vm, models in self._able[key]
            if placement.big_enough(need, self._capacities[vm].vm)
        ]

    def _why(self, waiting: Waiting, could: Sequence[VmCapacity]) -> str:
        eligible = sorted(self._eligible[waiting.eligible])
        vms = could or [self._capacities[vm] for vm in eligible]
        if not vms:
            return "there is no VM that you may use now"
        why = placement.not_now if could else placement.never
        reasons = [
            f"{each.vm.name}: {why(waiting.need, each) or 'reserved for those ahead in the queue'}"
            for each in vms[:SHOWN]
        ]
        more = f"; and {len(vms) - SHOWN} more" if len(vms) > SHOWN else ""
        return "; ".join(reasons) + more


def _taken(capacity: VmCapacity, need: Need, placed: Placement) -> VmCapacity:
    gone = set(placed.gpus)
    free = {
        model: tuple(uuid for uuid in uuids if uuid not in gone)
        for model, uuids in capacity.free.items()
    }
    free_memory_gb = capacity.free_memory_gb - need.memory_gb
    return replace(capacity, free=free, free_memory_gb=free_memory_gb)
