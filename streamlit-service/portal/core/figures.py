"""What a container used in a span of time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Figures:
    """Of one container, in the minute or hour that begins at `at`.

    `cpus`: on average. Memory in GB (2³⁰ bytes), without the files that the kernel caches; of its
    GPUs, the utilisation in percent on average and the memory of all together at most. None: not
    known.
    """

    at: datetime
    cpus: float
    memory_gb: float
    memory_peak_gb: float
    gpu_utilisation: float | None = None
    gpu_memory_gb: float | None = None
    home_gb: float | None = None
