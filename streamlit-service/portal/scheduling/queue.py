"""The line: who of those waiting starts now. Pure; admission.py records what it decides.

First come, first served among those who could use the same VMs. Somebody behind may pass only where
that delays nobody ahead: nobody knows how long a container runs, so what a VM has left is kept for
whoever waits for that VM ahead of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from portal.scheduling import placement
from portal.scheduling.placement import Kept, Need, Placement, Room

SHOWN = 3
"""How many VMs' reasons a person is shown."""


@dataclass(frozen=True)
class Waiting:
    """One in line. `reach` names the set of VMs it may use; equal names mean equal sets."""

    id: str
    need: Need
    reach: str
    homes: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Verdict:
    """A placement, or the place in line (from 1) with what it waits for."""

    id: str
    placement: Placement | None
    position: int = 0
    waits_for: str = ""
    possible: bool = True
    """Whether some VM could ever take it, as the VMs are now."""
    nowhere: bool = False
    """Whether there is no VM at all that it may use."""


def decide(
    line: Sequence[Waiting], reach: Mapping[str, Collection[int]], rooms: Mapping[int, Room]
) -> list[Verdict]:
    """Walk the line from its head. Earlier in line never loses to later in line."""
    walk = _Walk(reach, dict(rooms))
    return [walk.step(one) for one in line]


class _Walk:
    """The state of one pass: what is left, what is reserved for those ahead, what was computed."""

    def __init__(self, reach: Mapping[str, Collection[int]], rooms: dict[int, Room]) -> None:
        self._rooms = rooms
        self._reach = {name: frozenset(vms) for name, vms in reach.items()}
        self._kept: dict[int, Kept] = {}
        self._behind: Counter[str] = Counter()
        self._able: dict[tuple[str, int, str, str], list[tuple[int, frozenset[str]]]] = {}
        # Free space only shrinks in a walk: the same need fails again.
        self._refused: set[tuple[Need, str]] = set()

    def step(self, one: Waiting) -> Verdict:
        """The verdict on the next in line."""
        could = self._could(one)
        rooms = [self._rooms[vm] for vm, _ in could]
        placed = None
        if (one.need, one.reach) not in self._refused:
            placed = placement.pick(one.need, rooms, one.homes, self._kept)
        if placed:
            self._rooms[placed.vm.id] = _taken(self._rooms[placed.vm.id], one.need, placed)
            return Verdict(one.id, placed)
        self._refused.add((one.need, one.reach))
        for vm, models in could:
            if vm not in self._kept:
                self._kept[vm] = Kept()
            self._kept[vm].add(one.need.memory_gb, models)
        self._behind[one.reach] += 1
        mine = self._reach[one.reach]
        ahead = sum(
            count
            for name, count in self._behind.items()
            if name == one.reach or not self._reach[name].isdisjoint(mine)
        )
        return Verdict(
            one.id, None, ahead, self._why(one, rooms), possible=bool(could), nowhere=not mine
        )

    def _could(self, one: Waiting) -> list[tuple[int, frozenset[str]]]:
        """VMs that could take it when they are empty, with the GPU models it would use there.

        What depends on GPUs is the same for many, and found once.
        """
        need = one.need
        key = (one.reach, need.gpus, need.model, need.min_driver)
        if key not in self._able:
            small = replace(need, memory_gb=0, cpus=0)
            able = [self._rooms[vm] for vm in sorted(self._reach[one.reach])]
            able = [room for room in able if not placement.never(small, room)]
            found = [
                (room.vm.id, frozenset(placement.models(need, room) if need.gpus else ()))
                for room in able
            ]
            self._able[key] = found
        return [
            one for one in self._able[key] if placement.big_enough(need, self._rooms[one[0]].vm)
        ]

    def _why(self, one: Waiting, could: Sequence[Room]) -> str:
        every = could or [self._rooms[vm] for vm in sorted(self._reach[one.reach])]
        if not every:
            return "a VM that you may use: there is none now"
        why = placement.not_now if could else placement.never
        reasons = [
            f"{room.vm.name}: {why(one.need, room) or 'kept for somebody ahead'}"
            for room in every[:SHOWN]
        ]
        more = f"; and {len(every) - SHOWN} more" if len(every) > SHOWN else ""
        return "; ".join(reasons) + more


def _taken(room: Room, need: Need, placed: Placement) -> Room:
    gone = set(placed.gpus)
    free = {model: tuple(u for u in ids if u not in gone) for model, ids in room.free.items()}
    return replace(room, free=free, free_memory_gb=room.free_memory_gb - need.memory_gb)
