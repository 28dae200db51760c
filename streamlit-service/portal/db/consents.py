"""Rows of what people accepted: the notice before everything else, one row a card."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from portal.db.connection import Tx
from portal.db.people_schema import consents


@dataclass(frozen=True)
class Consent:
    """Which text, when; and when it counted last (to some minutes)."""

    text_hash: str
    accepted_at: datetime
    seen_at: datetime


def get(tx: Tx, user_id: int, fingerprint: str) -> Consent | None:
    """What somebody accepted last with a card."""
    return next(iter(_all(tx, *_of(user_id, fingerprint))), None)


def of_user(tx: Tx, user_id: int) -> list[Consent]:
    """What somebody accepted last with each of their cards."""
    return _all(tx, consents.c.user_id == user_id)


def put(tx: Tx, user_id: int, fingerprint: str, text_hash: str, now: datetime) -> None:
    """Accepted just now."""
    tx.execute(consents.delete().where(*_of(user_id, fingerprint)))
    row = {"user_id": user_id, "fingerprint": fingerprint, "text_hash": text_hash}
    tx.execute(consents.insert().values(**row, accepted_at=now, seen_at=now))


def seen(tx: Tx, user_id: int, fingerprint: str, now: datetime, before: datetime) -> None:
    """It counts still, and is written where it was seen before then."""
    late = consents.c.seen_at < before
    tx.execute(consents.update().where(*_of(user_id, fingerprint), late).values(seen_at=now))


def _of(user_id: int, fingerprint: str) -> tuple[sa.ColumnElement[bool], ...]:
    return consents.c.user_id == user_id, consents.c.fingerprint == fingerprint


def _all(tx: Tx, *which: sa.ColumnElement[bool]) -> list[Consent]:
    columns = consents.c.text_hash, consents.c.accepted_at, consents.c.seen_at
    return [Consent(*row) for row in tx.execute(sa.select(*columns).where(*which))]
