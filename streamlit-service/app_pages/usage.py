"""Usage: GPU-hours and more, per day and image; for administrators per user, group and VM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import streamlit as st
import wording
from portal.context import Portal
from portal.core.people import User
from portal.core.resources import UNLIMITED
from portal.scheduling import quotas
from portal.users import usage
from portal.users.usage import Dimension, Efficiency, Usage
from portal.vms import gpus

from app_pages.parts import session, tables, usage_chart

PERIODS = {"7 days": 7, "30 days": 30, "90 days": 90}
KINDS = {
    "GPU-hours": "gpu_hours",
    "CPU-hours": "cpu_hours",
    "Memory (GB-hours)": "memory_gb_hours",
}
WHOSE = ("Everyone", "Mine")
MINE: dict[str, Dimension] = {"Image": "image", "VM": "vm"}
EVERYBODYS: dict[str, Dimension] = {"User": "user", "Group": "group", **MINE}


def page() -> None:
    user, portal = session.user(), session.portal()
    st.subheader("Usage")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        asked = _asked(portal, user)
    used, before = _periods(portal, user, asked)
    if not used:
        st.info(
            "No usage in this period. Hours are counted while a container is starting or running.",
            icon=":material/monitoring:",
        )
        return
    _totals(used, before, asked.days)
    limit = None if asked.everybody else _a_days_quota(user, KINDS[asked.kind])
    rows = _rows(used, KINDS[asked.kind], asked.split, asked.first, asked.last)
    rows = usage_chart.largest(rows, asked.split)
    line = usage_chart.in_sight(limit, rows)
    chart = usage_chart.spec(asked.kind, asked.split, rows, line)
    st.vega_lite_chart(rows, chart, width="stretch")
    quota = f" Your quota allows {limit:g} a day." if limit else ""
    st.caption(
        f"{asked.kind} per day, {asked.first:%d %b %Y} to {asked.last:%d %b %Y}, days in"
        f" {asked.zone.key}.{quota}"
    )
    _tables(portal, user, asked, used)
    _efficiency(
        usage.efficiency(portal, user, asked.since, everybody=asked.everybody),
        everybody=asked.everybody,
    )


@dataclass(frozen=True)
class _Asked:
    """What the controls say."""

    everybody: bool
    days: int
    kind: str
    split: str
    now: datetime
    zone: ZoneInfo

    @property
    def last(self) -> date:
        return self.now.astimezone(self.zone).date()

    @property
    def first(self) -> date:
        return self.last - timedelta(days=self.days - 1)

    @property
    def since(self) -> datetime:
        return datetime.combine(self.first, time(), self.zone)


def _asked(portal: Portal, user: User) -> _Asked:
    first_kind = "GPU-hours" if gpus.overview(portal, user) else "CPU-hours"
    everybody = usage.can_see_everybody(user) and WHOSE[0] == st.segmented_control(
        "Scope", WHOSE, default=WHOSE[0], required=True, key="whose"
    )
    period = st.segmented_control(
        "Period", list(PERIODS), default="30 days", required=True, key="period"
    )
    kind = st.segmented_control(
        "Measure", list(KINDS), default=first_kind, required=True, key="kind"
    )
    choices = list(EVERYBODYS if everybody else MINE)
    split = st.segmented_control(
        "Group by", choices, default=choices[0], required=True, key=f"split-{everybody}"
    )
    return _Asked(
        everybody,
        PERIODS[period or "30 days"],
        kind or first_kind,
        split or choices[0],
        portal.now(),
        session.zone(),
    )


def _dimension(asked: _Asked) -> Dimension:
    return EVERYBODYS[asked.split]


def _periods(portal: Portal, user: User, asked: _Asked) -> tuple[list[Usage], list[Usage]]:
    """The period that was asked for by day, and the one before it, as long and as far, whole."""
    used = usage.report(
        portal,
        user,
        ["day", _dimension(asked)],
        asked.since,
        asked.now,
        everybody=asked.everybody,
        zone=asked.zone,
    )
    length = timedelta(days=asked.days)
    before = usage.report(
        portal, user, [], asked.since - length, asked.now - length, everybody=asked.everybody
    )
    return used, before


def _a_days_quota(user: User, kind: str) -> float | None:
    """What one could use in a day at most; None without a limit."""
    own, _ = quotas.allowances(session.portal(), user)
    limit = {
        "gpu_hours": own.limits.gpus,
        "cpu_hours": own.limits.cpus,
        "memory_gb_hours": own.limits.memory_gb,
    }[kind]
    return 24 * limit if 0 < limit < UNLIMITED else None


def _efficiency(used: list[Efficiency], *, everybody: bool) -> None:
    """Who asks for more than is used: what others wait for."""
    if not used:
        return
    st.markdown("**Actual use, compared with what was requested**")
    st.caption("Hourly averages while containers run; for memory, the peak in each hour.")
    tables.plain(
        [
            {
                "User" if everybody else "Container": each.who,
                **({"Group": each.group} if everybody else {}),
                "Hours": each.hours,
                "CPUs": 100 * each.cpus,
                "Memory": 100 * each.memory,
                "GPUs": each.gpu_utilisation,
            }
            for each in used
        ],
        key="efficiency",
        bars=("CPUs", "Memory", "GPUs"),
    )


def _totals(used: list[Usage], before: list[Usage], days: int) -> None:
    for column, (label, kind) in zip(st.columns(len(KINDS)), KINDS.items(), strict=True):
        total, then = (sum(getattr(row, kind) for row in rows) for rows in (used, before))
        column.metric(label, wording.hours(total), _change(total, then, days), delta_color="off")


def _change(total: float, then: float, days: int) -> str | None:
    """Against the period before; its sign gives Streamlit's arrow."""
    if not then:
        return None
    percent = round(100 * (total - then) / then)
    return f"{percent:+d} % on the {days} days before" if percent else None


def _rows(
    used: list[Usage], kind: str, split: str, first: date, last: date
) -> list[dict[str, object]]:
    """One row per day and key; unused days are zero, since a gap would look like missing data."""
    rows: list[dict[str, object]] = [
        {"Day": f"{row.key[0]}T00:00:00", split: row.key[1], "Hours": round(getattr(row, kind), 3)}
        for row in used
    ]
    seen, name = {row["Day"] for row in rows}, used[0].key[1]
    for number in range((last - first).days + 1):
        day = f"{first + timedelta(days=number)}T00:00:00"
        if day not in seen:
            rows.append({"Day": day, split: name, "Hours": 0.0})
    return rows


def _tables(portal: Portal, user: User, asked: _Asked, daily: list[Usage]) -> None:
    """The period's sums, the largest first; each day's folded."""
    dimension = _dimension(asked)
    sums = usage.report(
        portal,
        user,
        [dimension],
        asked.since,
        asked.now,
        everybody=asked.everybody,
        zone=asked.zone,
    )
    sums.sort(key=lambda row: -getattr(row, KINDS[asked.kind]))
    _table(sums, [dimension], (asked.split,), "Download CSV", "usage")
    with st.expander("By day", key="by-day"):
        _table(daily, ["day", dimension], ("Day", asked.split), "Download CSV by day", "usage-days")


def _table(
    usages: list[Usage], by: list[Dimension], heads: Sequence[str], label: str, name: str
) -> None:
    table = [
        {
            **dict(zip(heads, row.key, strict=True)),
            **{label: round(getattr(row, kind), 2) for label, kind in KINDS.items()},
        }
        for row in usages
    ]
    tables.draw(table)
    st.download_button(
        label,
        # Made at the click: a file that waits is gone by the time a browser looks for it.
        lambda: usage.as_csv(by, usages),
        f"{name}.csv",
        "text/csv",
        icon=":material/download:",
        key=f"{name}-csv",
        on_click="ignore",
    )


page()
