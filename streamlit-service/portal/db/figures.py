"""Rows of what containers used: by the minute for a day, by the hour for 90 days."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from portal.core.figures import Figures
from portal.db.connection import Tx
from portal.db.people_schema import users
from portal.db.schema import UtcDateTime, deployments, figures, recent_figures

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


def not_added_up(
    tx: Tx, deployment_id: str, after: datetime | None, now: datetime
) -> list[Figures]:
    """The hour that is not over, and the one before while roll_up() was not there."""
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    found = []
    for hour in (this_hour - HOUR, this_hour):
        if after is None or hour > after:
            query = _of_hour(hour).where(recent_figures.c.deployment_id == deployment_id)
            found += [_figures(row) for row in tx.execute(query)]
    return found


def of(tx: Tx, deployment_id: str, span: timedelta, since: datetime) -> list[Figures]:
    """What a deployment used from then on, by MINUTE or HOUR, the oldest first."""
    table = _TABLES[span]
    query = (
        sa.select(table)
        .where(table.c.deployment_id == deployment_id, table.c.at >= since)
        .order_by(table.c.at)
    )
    return [_figures(row) for row in tx.execute(query)]


def efficiency(tx: Tx, since: datetime, owner_id: int | None) -> list[Mapping[str, Any]]:
    """How much of what was asked for was used, by whole hours: of each owner, or of one's each.

    `cpus` and `memory` 0 to 1 on average over the hours, memory at its most in each;
    `gpu_utilisation` in percent, None without GPUs.
    """
    named = deployments.c.name if owner_id is not None else users.c.display_name
    query = (
        sa.select(
            named.label("who"),
            sa.func.max(deployments.c.group).label("group"),
            sa.func.count().label("hours"),
            sa.func.avg(figures.c.cpus / deployments.c.cpus).label("cpus"),
            sa.func.avg(figures.c.memory_peak_gb / deployments.c.memory_gb).label("memory"),
            sa.func.avg(figures.c.gpu_utilisation).label("gpu_utilisation"),
        )
        .join(deployments, deployments.c.id == figures.c.deployment_id)
        .join(users, users.c.id == deployments.c.owner_id)
        .where(figures.c.at >= since)
        .group_by(deployments.c.owner_id, named)
        .order_by(sa.desc("hours"))
    )
    if owner_id is not None:
        query = query.where(deployments.c.owner_id == owner_id)
    return [dict(row._mapping) for row in tx.execute(query)]


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


def busy_gpus(tx: Tx, since: datetime) -> dict[int, dict[datetime, float]]:
    """By VM and minute from then on: how many of its GPUs were busy, 0.5 for one at half."""
    busy = sa.func.sum(recent_figures.c.gpu_utilisation * deployments.c.gpus) / 100
    query = (
        sa.select(deployments.c.vm_id, recent_figures.c.at, busy.label("busy"))
        .join(deployments, deployments.c.id == recent_figures.c.deployment_id)
        .where(recent_figures.c.at >= since, recent_figures.c.gpu_utilisation.is_not(None))
        .group_by(deployments.c.vm_id, recent_figures.c.at)
    )
    found: dict[int, dict[datetime, float]] = {}
    for row in tx.execute(query):
        found.setdefault(row.vm_id, {})[row.at] = row.busy
    return found


def _figures(row: sa.Row[Any]) -> Figures:
    values = dict(row._mapping)
    del values["deployment_id"]
    return Figures(**values)
