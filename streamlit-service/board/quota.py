"""What somebody holds of their quota, as bars."""

from __future__ import annotations

from dataclasses import dataclass

from portal.core.resources import Resources
from portal.scheduling.quotas import Allowance

GPUS = "GPUs"


@dataclass(frozen=True)
class Share:
    """One amount; `share`: 0 to 1 of the limit."""

    name: str
    text: str
    share: float


def quota(allowance: Allowance, *, gpus_exist: bool) -> tuple[Share, ...]:
    """The amounts of which somebody may hold any, and of which there are any."""
    return tuple(
        Share(name, f"{held:g} of {limit:g}", min(held / limit, 1.0))
        for name, held, limit in _amounts(allowance.held, allowance.limits)
        if limit and (gpus_exist or name != GPUS)
    )


def _amounts(held: Resources, limits: Resources) -> list[tuple[str, float, float]]:
    return [
        (GPUS, held.gpus, limits.gpus),
        ("GB", held.memory_gb, limits.memory_gb),
        ("CPUs", held.cpus, limits.cpus),
    ]
