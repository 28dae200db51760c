"""What a container uses of what it has, as bars with the last hour behind them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from portal.core.figures import Figures
from portal.core.models import Deployment, State

MINUTES = 60
NEARLY_FULL = 0.9


@dataclass(frozen=True)
class Meter:
    """`share` 0 to 1 of what it has; `hour`: percent by minute, the oldest first, None unseen.

    `full`: so full that it may fail; a processor that is busy is well used.
    """

    name: str
    text: str
    share: float
    full: bool
    hour: tuple[int | None, ...]


def meters(d: Deployment, figures: Sequence[Figures]) -> tuple[Meter, ...]:
    """Those of which something is known; the newest minute counts."""
    if d.state is not State.RUNNING or not figures:
        return ()
    last = figures[-1]
    found = [
        _meter("CPU", f"{last.cpus:.1f} of {d.cpus:g}", figures, lambda each: each.cpus / d.cpus),
        _meter(
            "Memory",
            f"{last.memory_peak_gb:.1f} of {d.memory_gb:g} GB",
            figures,
            lambda each: each.memory_peak_gb / d.memory_gb,
            full=memory_is_nearly_full(d, figures),
        ),
    ]
    if last.gpu_utilisation is not None:
        memory = f" · {last.gpu_memory_gb:.1f} GB" if last.gpu_memory_gb is not None else ""
        found.append(
            _meter(
                "GPU",
                f"{last.gpu_utilisation:.0f} %{memory}",
                figures,
                lambda each: None if each.gpu_utilisation is None else each.gpu_utilisation / 100,
            )
        )
    if last.home_gb is not None and d.vm is not None:
        found.append(_home(last.home_gb, d.vm.disk_free_gb, figures))
    return tuple(found)


def _home(home_gb: float, free_gb: float | None, figures: Sequence[Figures]) -> Meter:
    """Of what it could have at most: others fill the same disk."""
    most = 0.0 if free_gb is None else home_gb + free_gb
    return _meter(
        "Home",
        f"{home_gb:.1f} GB" if free_gb is None else f"{home_gb:.1f} GB, {free_gb:.0f} free",
        figures,
        lambda each: None if each.home_gb is None or not most else each.home_gb / most,
        full=free_gb is not None and home_gb >= NEARLY_FULL * most,
    )


def memory_is_nearly_full(d: Deployment, figures: Sequence[Figures]) -> bool:
    """Whether it came near its limit in the last minute: what uses most may be ended soon."""
    return bool(figures) and figures[-1].memory_peak_gb >= NEARLY_FULL * d.memory_gb


def _meter(
    name: str,
    text: str,
    figures: Sequence[Figures],
    share: Callable[[Figures], float | None],
    *,
    full: bool = False,
) -> Meter:
    end = figures[-1].at
    hour: list[int | None] = [None] * MINUTES
    for each in figures:
        back = int((end - each.at) / timedelta(minutes=1))
        part = share(each)
        if 0 <= back < MINUTES and part is not None:
            hour[MINUTES - 1 - back] = round(100 * min(part, 1.0))
    return Meter(name, text, min(share(figures[-1]) or 0.0, 1.0), full, tuple(hour))
