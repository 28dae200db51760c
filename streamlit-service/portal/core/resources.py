"""Resources: GPUs, memory, CPUs and deployments as one value that is added, subtracted, compared.

What is asked for, held, free and allowed are all Resources. A new amount begins here; where it goes
on is in CONTRIBUTING.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

UNLIMITED = 10**9
"""The limit where there is none."""
GIB = 2**30
_ROUNDING = 1e-6


def exceeds(asked: float, available: float) -> bool:
    """Whether more is asked for than there is; three tenths are 0.3, however they were added."""
    return asked - available > _ROUNDING


@dataclass(frozen=True, kw_only=True)
class Resources:
    """GPUs, memory in GB (2³⁰ bytes), CPUs (whole or fractional) and a number of deployments."""

    gpus: float = 0
    memory_gb: float = 0
    cpus: float = 0
    deployments: float = 0
    """Stopped ones too: each keeps its ports."""

    def __add__(self, other: Resources) -> Resources:
        """Both together."""
        return _resources(a + b for a, b in zip(self.amounts(), other.amounts(), strict=True))

    def __sub__(self, other: Resources) -> Resources:
        """What is left; negative where there is less than is taken."""
        return _resources(a - b for a, b in zip(self.amounts(), other.amounts(), strict=True))

    def amounts(self) -> tuple[float, ...]:
        """The amounts in the order of AMOUNTS."""
        return self.gpus, self.memory_gb, self.cpus, self.deployments

    def floored(self) -> Resources:
        """Without negative amounts."""
        return _resources(max(amount, 0) for amount in self.amounts())

    def capped(self, other: Resources) -> Resources:
        """The smaller of each."""
        return _resources(min(a, b) for a, b in zip(self.amounts(), other.amounts(), strict=True))

    def shortfall(self, available: Resources) -> Iterator[tuple[Amount, float, float]]:
        """(amount, asked for, available) of whatever there is more of here than is available."""
        pairs = zip(AMOUNTS, self.amounts(), available.amounts(), strict=True)
        yield from ((amount, asked, left) for amount, asked, left in pairs if exceeds(asked, left))


@dataclass(frozen=True)
class Amount:
    """How one field of Resources is called and counted; `minimum` is the least to ask for."""

    name: str
    noun: str
    unit: str = ""
    minimum: float = 0

    def of(self, resources: Resources) -> float:
        """Pick this amount out of resources."""
        return float(getattr(resources, self.name))


AMOUNTS = (
    Amount("gpus", "GPUs"),
    Amount("memory_gb", "Memory", " GB", minimum=0.5),
    Amount("cpus", "CPUs", minimum=0.1),
    Amount("deployments", "Containers"),
)
GPUS, MEMORY, CPUS, DEPLOYMENTS = AMOUNTS
ORDERED = (GPUS, MEMORY, CPUS)
"""What a person asks for with each container."""


def _resources(amounts: Iterable[float]) -> Resources:
    """In the order of AMOUNTS."""
    return Resources(**{each.name: value for each, value in zip(AMOUNTS, amounts, strict=True)})


@dataclass(frozen=True)
class Quota:
    """The most that live and waiting deployments together may hold. None: no limit of its own."""

    gpus: float | None = None
    memory_gb: float | None = None
    cpus: float | None = None
    deployments: float | None = None

    def over(self, base: Resources) -> Resources:
        """These limits, and where there is none of its own the base's."""
        own = {name: limit for name, limit in vars(self).items() if limit is not None}
        return replace(base, **own)

    def is_valid(self, maximum: float) -> bool:
        """Whether every limit that is set is a number from 0 to the maximum."""
        own = [limit for limit in vars(self).values() if limit is not None]
        return all(math.isfinite(limit) and 0 <= limit <= maximum for limit in own)


NOTHING = Resources()
NO_LIMITS = _resources(UNLIMITED for _ in AMOUNTS)
