"""Usage: what leases add up to, per day, image, user, group or VM.

Exact whatever crashed: leases have both ends in the database, and a lease that is still held counts
until now.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Any, Literal

from portal import db
from portal.context import Portal
from portal.core.errors import Invalid
from portal.core.people import User
from portal.core.spreadsheets import harmless
from portal.users import permissions

Dimension = Literal["day", "image", "user", "group", "vm"]
HOUR = 3600.0
MAX_PERIOD = timedelta(days=366)
USUAL_PERIOD = timedelta(days=30)
FIRST, LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Usage:
    """Hours of one key (values of the dimensions, in their order)."""

    key: tuple[str, ...]
    gpu_hours: float
    cpu_hours: float
    memory_gb_hours: float


def report(
    portal: Portal,
    user: User,
    by: Sequence[Dimension],
    since: datetime | None = None,
    until: datetime | None = None,
    *,
    everybody: bool = False,
    zone: tzinfo = UTC,
) -> list[Usage]:
    """Usage in a period, of the user, or of everybody for administrators, by days of the zone.

    The last 30 days by default.

    Raises Forbidden for everybody's usage without the role, Invalid for a period that is none.
    """
    if everybody:
        permissions.reader(user)
    now = portal.now()
    until = until or now
    since = since or max(until, FIRST + USUAL_PERIOD) - USUAL_PERIOD
    if not (FIRST <= since < until <= LAST and until - since <= MAX_PERIOD):
        raise Invalid(
            "bad_period",
            "The period must begin before it ends, be at most a year,"
            f" and lie between {FIRST.year} and {LAST.year}.",
            "Choose another.",
        )
    with portal.database.reading() as tx:
        intervals = db.usage.intervals(tx, since, until, None if everybody else user.id)
    return total(intervals, by, since, min(until, max(now, since)), zone)


@dataclass(frozen=True)
class Efficiency:
    """What somebody, or one of somebody's containers, used of what was asked for.

    `cpus` and `memory` 0 to 1 on average, memory at its most in each hour; `gpu_utilisation` in
    percent, None without GPUs.
    """

    who: str
    group: str
    hours: int
    cpus: float
    memory: float
    gpu_utilisation: float | None


def efficiency(
    portal: Portal, user: User, since: datetime, *, everybody: bool = False
) -> list[Efficiency]:
    """Of each person, for administrators, or of each of the user's containers; most hours first."""
    if everybody:
        permissions.reader(user)
    with portal.database.reading() as tx:
        rows = db.figures.efficiency(tx, since, None if everybody else user.id)
    return [Efficiency(**row) for row in rows]


def total(
    intervals: Iterable[Mapping[str, Any]],
    by: Sequence[Dimension],
    since: datetime,
    until: datetime,
    zone: tzinfo = UTC,
) -> list[Usage]:
    """Pure: clip to the period, cut at midnights where days are asked for, and add up."""
    sums: dict[tuple[str, ...], list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    for interval in intervals:
        start, end = (
            max(interval["acquired_at"], since),
            min(interval["released_at"] or until, until),
        )
        for day, hours in (
            _days(start, end, zone) if "day" in by else [("", (end - start).total_seconds() / HOUR)]
        ):
            if hours <= 0:
                continue
            amounts = sums[tuple(_value(interval, dimension, day) for dimension in by)]
            if interval["kind"] == db.leases.GPU:
                amounts[0] += hours
            else:
                amounts[1] += hours * interval["cpus"]
                amounts[2] += hours * interval["memory_gb"]
    return [Usage(key, *amounts) for key, amounts in sorted(sums.items())]


def as_csv(by: Sequence[Dimension], usages: Sequence[Usage]) -> str:
    """RFC 4180, with a header line.

    A text that a spreadsheet would run as a formula gets an apostrophe before it.
    """
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([*by, "gpu_hours", "cpu_hours", "memory_gb_hours"])
    for usage in usages:
        writer.writerow(
            [
                *map(harmless, usage.key),
                f"{usage.gpu_hours:.4f}",
                f"{usage.cpu_hours:.4f}",
                f"{usage.memory_gb_hours:.4f}",
            ]
        )
    return out.getvalue()


def can_see_everybody(user: User) -> bool:
    """Whether to offer other people's usage."""
    return permissions.reads_all(user)


def _value(interval: Mapping[str, Any], dimension: Dimension, day: str) -> str:
    if dimension == "day":
        return day
    if dimension == "user":  # names are not unique, subjects are
        return f"{interval['display_name']} ({interval['subject']})"
    return str(interval[dimension] or "none")


def _days(start: datetime, end: datetime, zone: tzinfo) -> Iterator[tuple[str, float]]:
    """(Day of the zone, hours in it) of an interval."""
    # In UTC, or a day with a change of the clock would have 24 hours.
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    while start < end:
        day = start.astimezone(zone).date()
        midnight = datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC)
        stop = min(end, midnight)
        yield day.isoformat(), (stop - start).total_seconds() / HOUR
        start = stop
