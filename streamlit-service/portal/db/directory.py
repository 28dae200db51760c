"""What came of the last look at the directory."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from portal.db.connection import Tx, one_or_none
from portal.db.people_schema import directory_looks

ONLY = 1
IN_USE = timedelta(days=1)
"""Looks, also those that fail, are never further apart."""


@dataclass(frozen=True)
class Look:
    """A look at the directory. `problem` "": all was well.

    Of `people`, so many are `missing` from it, and so many fit several entries.
    """

    at: datetime
    succeeded_at: datetime | None
    problem: str
    people: int = 0
    missing: int = 0
    ambiguous: int = 0


def last(tx: Tx) -> Look | None:
    """The last one; None before the first."""
    columns = [directory_looks.c[name] for name in Look.__dataclass_fields__]
    return one_or_none(tx, sa.select(*columns), lambda row: Look(**row._mapping))


def put(tx: Tx, look: Look) -> None:
    """Replaces the last one."""
    tx.execute(directory_looks.delete())
    tx.execute(directory_looks.insert().values(id=ONLY, **vars(look)))


def is_asked(tx: Tx, now: datetime) -> bool:
    """Whether a directory is in use: one that was switched off says nothing any more."""
    look = last(tx)
    return look is not None and now - look.at < IN_USE
