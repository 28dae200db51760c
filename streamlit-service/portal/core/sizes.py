"""The sizes that an order offers by name, of everybody or of a group."""

from __future__ import annotations

import re
from dataclasses import dataclass

from portal.core.resources import CPUS, MEMORY

USUAL = "Small 2 1, Medium 8 4, Large 32 8"
EXAMPLE = f"{USUAL}; vision: Notebook 16 4, Training 128 32"
CUSTOM = "Custom"
"""What orders call amounts of one's own."""
_SIZE = re.compile(r"(?P<name>\S(?:.*\S)?)\s+(?P<memory>\d+(?:\.\d+)?)\s+(?P<cpus>\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class Size:
    """Memory in GB."""

    name: str
    memory_gb: float
    cpus: float


def parse(text: str) -> dict[str, tuple[Size, ...]]:
    """By group, "" for everybody's (USUAL where there is none): lists as in EXAMPLE.

    ValueError for anything else.
    """
    lists: dict[str, tuple[Size, ...]] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        group, colon, sizes = part.rpartition(":")
        if group.strip() in lists or (colon and not group.strip()):
            raise ValueError(f"{part!r} names no group, or names one twice")
        named = {size.name: size for size in (_size(each.strip()) for each in sizes.split(","))}
        if len(named) < len(sizes.split(",")) or CUSTOM in named:
            raise ValueError(f"{sizes.strip()!r} has a name twice, or {CUSTOM}, which is reserved")
        lists[group.strip()] = tuple(named.values())
    return lists if "" in lists else parse(USUAL) | lists


def of_group(text: str, group: str) -> tuple[Size, ...]:
    """What a member of the group ("" for none) is offered: the group's own, else everybody's."""
    lists = parse(text)
    return lists.get(group) or lists[""]


def _size(text: str) -> Size:
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a name, GB of memory and number of CPUs, as Small 2 1")
    size = Size(found["name"], float(found["memory"]), float(found["cpus"]))
    if size.memory_gb < MEMORY.minimum or size.cpus < CPUS.minimum:
        least = f"{MEMORY.minimum:g} GB and {CPUS.minimum:g} CPUs"
        raise ValueError(f"{text!r} is less than a container may have: {least}")
    return size
