"""Rows of who came by which way: one for each session."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from portal.db.connection import Tx
from portal.db.people_schema import visits


@dataclass(frozen=True)
class Visit:
    """Somebody with a card, from an address.

    `place`: "" for pages and API, else a port of a container.
    """

    user_id: int
    fingerprint: str
    address: str
    place: str


@dataclass(frozen=True)
class Seen:
    """When it began, and when it was seen last (to some minutes)."""

    began_at: datetime
    seen_at: datetime


def get(tx: Tx, visit: Visit) -> Seen | None:
    """What is known of it."""
    query = sa.select(visits.c.began_at, visits.c.seen_at).where(_is(visit))
    row = tx.execute(query).first()
    return Seen(*row) if row else None


def begin(tx: Tx, visit: Visit, now: datetime) -> None:
    """A session begins, perhaps once more."""
    tx.execute(visits.delete().where(_is(visit)))
    tx.execute(visits.insert().values(**vars(visit), began_at=now, seen_at=now))


def seen(tx: Tx, visit: Visit, now: datetime) -> None:
    """It goes on."""
    tx.execute(visits.update().where(_is(visit)).values(seen_at=now))


def remove_before(tx: Tx, before: datetime) -> None:
    """Those that ended long ago."""
    tx.execute(visits.delete().where(visits.c.seen_at < before))


def _is(visit: Visit) -> sa.ColumnElement[bool]:
    return sa.and_(*(visits.c[name] == value for name, value in vars(visit).items()))
