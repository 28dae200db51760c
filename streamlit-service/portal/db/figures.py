"""Rows of what containers used: by the minute for a day, by the hour for 90 days."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from portal.core.figures import Figures
from portal.db.connection import Tx
from portal.db.schema import UtcDateTime, figures, recent_figures

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
KEPT = {MINUTE: timedelta(days=1), HOUR: timedelta(days=90)}
"""For how long, by the span that a row is of."""
_TABLES = {MINUTE: recent_figures, HOUR: figures}


def put(tx: Tx, minute: Mapping[str, Figures]) -> None:
    """Those of one minute, by deployment. Again for the same minute, the later ones count."""
    if not minute:
        return
    at = next(iter(minute.values())).at
    same = recent_figures.c.deployment_id.in_(minute) & (recent_figures.c.at == at)
    tx.execute(recent_figures.delete().where(same))
    rows = [{"deployment_id": key, **vars(each)} for key, each in minute.items()]
    tx.execute(recent_figures.insert(), rows)


def roll_up(tx: Tx, now: datetime) -> None:
    """Add up each whole hour since the last one that was, and forget what is old."""
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    done = tx.execute(sa.select(sa.func.max(figures.c.at))).scalar()
    hour = max(this_hour - KEPT[MINUTE], done + HOUR if done else this_hour - KEPT[MINUTE])
    while hour < this_hour:
        rows = [dict(row._mapping) for row in tx.execute(_of_hour(hour))]
        if rows:
            tx.execute(figures.insert(), rows)
        hour += HOUR
    for span, kept in KEPT.items():
        table = _TABLES[span]
        tx.execute(table.delete().where(table.c.at < now - kept))


def _of_hour(hour: datetime) -> sa.Select[Any]:
    recent = recent_figures.c
    return (
        sa.select(
            recent.deployment_id,
            sa.literal(hour, UtcDateTime).label("at"),
            sa.func.avg(recent.cpus).label("cpus"),
            sa.func.avg(recent.memory_gb).label("memory_gb"),
            sa.func.max(recent.memory_peak_gb).label("memory_peak_gb"),
            sa.func.avg(recent.gpu_utilisation).label("gpu_utilisation"),
            sa.func.max(recent.gpu_memory_gb).label("gpu_memory_gb"),
            sa.func.max(recent.home_gb).label("home_gb"),
        )
        .where(recent.at >= hour, recent.at < hour + HOUR)
        .group_by(recent.deployment_id)
    )


def of(tx: Tx, deployment_id: str, span: timedelta, since: datetime) -> list[Figures]:
    """What a deployment used from then on, by MINUTE or HOUR, the oldest first."""
    table = _TABLES[span]
    query = (
        sa.select(table)
        .where(table.c.deployment_id == deployment_id, table.c.at >= since)
        .order_by(table.c.at)
    )
    return [_figures(row) for row in tx.execute(query)]


def recent(tx: Tx, deployment_ids: Collection[str], since: datetime) -> dict[str, list[Figures]]:
    """What these used from then on, by the minute, the oldest first."""
    query = (
        sa.select(recent_figures)
        .where(recent_figures.c.deployment_id.in_(deployment_ids), recent_figures.c.at >= since)
        .order_by(recent_figures.c.at)
    )
    found: dict[str, list[Figures]] = {}
    for row in tx.execute(query) if deployment_ids else ():
        found.setdefault(row.deployment_id, []).append(_figures(row))
    return found


def _figures(row: sa.Row[Any]) -> Figures:
    values = dict(row._mapping)
    del values["deployment_id"]
    return Figures(**values)
