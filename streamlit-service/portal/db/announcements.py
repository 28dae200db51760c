"""Rows of what administrators tell people."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from portal.core.announcements import Announcement, Level
from portal.db.connection import Tx, one_or_none
from portal.db.schema import announcements


def insert(tx: Tx, told: Announcement) -> int:
    """Add one; its number."""
    values = {name: value for name, value in vars(told).items() if name != "id"}
    query = announcements.insert().values(**values).returning(announcements.c.id)
    return int(tx.execute(query).scalar_one())


def by_id(tx: Tx, announcement_id: int) -> Announcement | None:
    """One of them."""
    which = announcements.c.id == announcement_id
    return one_or_none(tx, sa.select(announcements).where(which), _of)


def end(tx: Tx, announcement_id: int, now: datetime) -> None:
    """Nobody sees it any more."""
    which = announcements.c.id == announcement_id
    tx.execute(announcements.update().where(which).values(ends_at=now))


def not_over(tx: Tx, now: datetime) -> list[Announcement]:
    """Those that are shown, or will be, the earliest first."""
    query = sa.select(announcements).where(announcements.c.ends_at > now)
    ordered = query.order_by(announcements.c.begins_at, announcements.c.id)
    return [_of(row) for row in tx.execute(ordered)]


def _of(row: sa.Row[tuple[object, ...]]) -> Announcement:
    values = dict(row._mapping)
    return Announcement(**{**values, "level": Level(str(values["level"]))})
