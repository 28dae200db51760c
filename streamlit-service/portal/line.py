"""The line: who of those waiting starts now. Pure; deployments.py records what it decides.

First come, first served among those who could use the same VMs. Somebody behind may pass only where
that delays nobody ahead: nobody knows how long a container runs, so what a VM has left is kept for
whoever waits for that VM ahead of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from portal import placement
from portal.placement import Need, Placement, Room

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


@dataclass
class _Kept:
    """What is kept on a VM for those ahead in line."""

    memory_gb: float = 0.0
    models: set[str] = field(default_factory=set)


def decide(line: Sequence[Waiting], reach: Mapping[str, Collection[int]], rooms: Mapping[int, Room]) -> list[Verdict]:
    """Walk the line from its head. Earlier in line never loses to later in line."""
    now, sets = dict(rooms), {name: frozenset(vms) for name, vms in reach.items()}
    kept: dict[int, _Kept] = {}
    refused: dict[tuple[Need, str], Verdict] = {}  # free space only shrinks in a walk: the same need fails again
    able: dict[tuple[Need, str], list[int]] = {}
    behind: Counter[str] = Counter()  # how many wait, by reach
    verdicts = []
    for one in line:
        key = one.need, one.reach
        if key not in able:
            able[key] = [vm for vm in reach[one.reach] if not placement.never(one.need, now[vm])]
        verdict = refused.get(key) or _one(one, [now[vm] for vm in able[key]], kept)
        if not verdict.possible:
            verdict = replace(
                verdict, waits_for=_reasons(one.need, [now[vm] for vm in reach[one.reach]], placement.never)
            )
        if verdict.placement:
            now[verdict.placement.vm.id] = _taken(now[verdict.placement.vm.id], one.need, verdict.placement)
        else:
            refused[key] = verdict
            behind[one.reach] += 1
            ahead = sum(count for name, count in behind.items() if not sets[name].isdisjoint(sets[one.reach]))
            verdict = replace(verdict, id=one.id, position=ahead)
        verdicts.append(verdict)
    return verdicts


def _one(one: Waiting, could: Sequence[Room], kept: dict[int, _Kept]) -> Verdict:
    placed = placement.pick(one.need, [_without(room, kept.get(room.vm.id)) for room in could], one.homes)
    if placed:
        return Verdict(one.id, placed)
    for room in could:
        _keep(one.need, room, kept)
    return Verdict(one.id, None, waits_for=_reasons(one.need, could, placement.not_now), possible=bool(could))


def _without(room: Room, kept: _Kept | None) -> Room:
    """What is left of a room for somebody behind those it is kept for."""
    if kept is None:
        return room
    free = {model: ids for model, ids in room.free.items() if model not in kept.models}
    return replace(room, free=free, free_memory_gb=room.free_memory_gb - kept.memory_gb)


def _keep(need: Need, room: Room, kept: dict[int, _Kept]) -> None:
    place = kept.setdefault(room.vm.id, _Kept())
    place.memory_gb += need.memory_gb
    if need.gpus:
        place.models |= set(placement.models(need, room))


def _taken(room: Room, need: Need, placed: Placement) -> Room:
    gone = set(placed.gpus)
    free = {model: tuple(u for u in ids if u not in gone) for model, ids in room.free.items()}
    return replace(room, free=free, free_memory_gb=room.free_memory_gb - need.memory_gb)


def _reasons(need: Need, rooms: Sequence[Room], why: Callable[[Need, Room], str]) -> str:
    reasons = [f"{room.vm.name}: {why(need, room) or 'kept for somebody ahead'}" for room in rooms[:SHOWN]]
    return "; ".join(reasons) + (f"; and {len(rooms) - SHOWN} more" if len(rooms) > SHOWN else "")
