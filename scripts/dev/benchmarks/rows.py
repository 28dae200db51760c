"""A row of the benchmarks' table: a figure beside its floor or peer, measured in the same run."""

from __future__ import annotations

import json
import statistics
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """Medians in seconds, unless `unit` says otherwise; `failure` instead, where it failed."""

    what: str
    measured: float = 0
    peer: float = 0
    aim: str = ""
    unit: str = "s"
    failure: str = ""

    def line(self) -> str:
        """As it is printed."""
        if self.failure:
            return f"{self.what:<66}failed: {self.failure}"
        ratio = self.measured / self.peer if self.peer else float("inf")
        measured, peer = _written(self.measured, self.unit), _written(self.peer, self.unit)
        return f"{self.what:<66}{measured:>12}{peer:>12}{ratio:>9.3g}  {self.aim}"


@dataclass(frozen=True)
class Sizes:
    """How much of each a benchmark does."""

    rounds: int = 5
    calls: int = 1000
    """of /authz, and of a lookup among revoked certificates"""
    requests: int = 2000
    """Through the gateway, times rounds below 14,000: nginx opens a connection a request, and past
    half of the ephemeral ports in TIME_WAIT the kernel's search for a free one would be measured.
    """
    fleet: int = 1000
    queue: int = 1000
    people: int = 100_000
    page_vms: int = 100
    checked_vms: int = 20
    revoked: int = 100_000
    events: int = 1_000_000
    new_list_every_s: float = 4
    idle_s: int = 60
    idle_containers: int = 10
    tabs: int = 200
    ssh_mb: int = 1000
    ssh_sessions: int = 200
    first_command: str = "demo"
    """Of make, on a bare machine."""


SMALLEST = Sizes(
    rounds=1,
    calls=5,
    requests=20,
    fleet=20,
    queue=20,
    people=200,
    page_vms=2,
    checked_vms=1,
    revoked=10,
    events=50,
    new_list_every_s=0.5,
    idle_s=1,
    idle_containers=1,
    tabs=2,
    ssh_mb=1,
    ssh_sessions=2,
    first_command="engine",
)
"""To see that every row works."""


HEAD = f"{'what':<66}{'measured':>12}{'peer':>12}{'ratio':>9}  aim"
SCALES = {"ms": 1e3, "us": 1e6}


def _written(value: float, unit: str) -> str:
    return f"{value * SCALES.get(unit, 1):.3g} {unit}"


def row(
    what: str, measured: Sequence[float], peer: Sequence[float], aim: str, unit: str = "s"
) -> Row:
    """The medians of both."""
    return Row(what, statistics.median(measured), statistics.median(peer), aim, unit)


def timed(act: Callable[[], object]) -> float:
    """Seconds that it takes."""
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def run(benchmarks: dict[str, Callable[[], Row]], results: Path) -> list[Row]:
    """Run each, print its row as it comes, and keep all in a JSON file. One that fails is a row."""
    rows: list[Row] = []
    print(HEAD, flush=True)
    for name, benchmark in benchmarks.items():
        try:
            rows.append(benchmark())
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            rows.append(Row(name, failure=f"{type(error).__name__}: {error}"[:200]))
        print(rows[-1].line(), flush=True)
        results.parent.mkdir(parents=True, exist_ok=True)
        results.write_text(json.dumps([asdict(each) for each in rows], indent=2))
    return rows
