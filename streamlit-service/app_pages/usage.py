"""Usage: GPU-hours and more, per day and image; for administrators per user, group and VM."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import streamlit as st
import wording
from portal.users import usage
from portal.users.usage import Dimension, Efficiency, Usage
from portal.vms import gpus

from app_pages.parts import session, tables

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
    first_kind = "GPU-hours" if gpus.overview(portal, user) else "CPU-hours"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        everybody = usage.can_see_everybody(user) and WHOSE[0] == st.segmented_control(
            "Scope", WHOSE, default=WHOSE[0], required=True, key="whose"
        )
        period = st.segmented_control(
            "Period", list(PERIODS), default="30 days", required=True, key="period"
        )
        kind = st.segmented_control(
            "Measure", list(KINDS), default=first_kind, required=True, key="kind"
        )
        choices = EVERYBODYS if everybody else MINE
        split = st.segmented_control(
            "Group by",
            list(choices),
            default=next(iter(choices)),
            required=True,
            key=f"split-{everybody}",
        )
    now = portal.now()
    first = (now - timedelta(days=PERIODS[period or "30 days"] - 1)).astimezone(UTC).date()
    by: list[Dimension] = ["day", choices[split or next(iter(choices))]]
    usages = usage.report(
        portal, user, by, datetime.combine(first, time(), UTC), now, everybody=everybody
    )
    if not usages:
        st.info(
            "No usage in this period. Hours are counted while a container is starting or running.",
            icon=":material/monitoring:",
        )
        return
    _totals(usages)
    rows = _rows(usages, KINDS[kind or "GPU-hours"], split or "", first, now)
    st.bar_chart(
        rows, x="Day", y="Hours", color=split, y_label=kind, x_label="Day (UTC)", height=320
    )
    st.caption(f"{kind} per day, {first:%d %b %Y} to {now:%d %b %Y}, UTC days.")
    _table(usages, by, split or "")
    _efficiency(
        usage.efficiency(portal, user, datetime.combine(first, time(), UTC), everybody=everybody),
        everybody=everybody,
    )


def _efficiency(used: list[Efficiency], *, everybody: bool) -> None:
    """Who asks for more than is used: what others wait for."""
    if not used:
        return
    st.markdown("**Used of what was asked for**")
    st.caption("By the hour while containers run; memory at its most in each hour.")
    tables.plain(
        [
            {
                "Person" if everybody else "Container": each.who,
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


def _totals(usages: list[Usage]) -> None:
    for column, (label, kind) in zip(st.columns(len(KINDS)), KINDS.items(), strict=True):
        column.metric(label, wording.hours(sum(getattr(row, kind) for row in usages)))


def _rows(
    usages: list[Usage], kind: str, split: str, first: date, now: datetime
) -> list[dict[str, object]]:
    """One row per day and key; unused days are zero, since a gap would look like missing data."""
    rows: list[dict[str, object]] = [
        {"Day": row.key[0], split: row.key[1], "Hours": round(getattr(row, kind), 3)}
        for row in usages
    ]
    seen, name = {row["Day"] for row in rows}, usages[0].key[1]
    day = now.astimezone(UTC).date()
    while day >= first:
        if day.isoformat() not in seen:
            rows.append({"Day": day.isoformat(), split: name, "Hours": 0.0})
        day -= timedelta(days=1)
    return sorted(rows, key=lambda row: str(row["Day"]))


def _table(usages: list[Usage], by: list[Dimension], split: str) -> None:
    table = [
        {
            "Day": row.key[0],
            split: row.key[1],
            **{label: round(getattr(row, kind), 2) for label, kind in KINDS.items()},
        }
        for row in usages
    ]
    st.dataframe(table, hide_index=True, width="stretch")
    st.download_button(
        "Download CSV",
        usage.as_csv(by, usages),
        "usage.csv",
        "text/csv",
        icon=":material/download:",
        key="usage-csv",
        on_click="ignore",
    )


page()
