"""Rows of what people have open now: pages and SSH."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa

from portal.core.people import Session
from portal.db.connection import Tx
from portal.db.people_schema import sessions


def put(tx: Tx, session: Session) -> None:
    """Somebody opened it just now."""
    tx.execute(sessions.insert().values(**vars(session), seen_at=session.began_at))


def seen(tx: Tx, ids: Collection[str], now: datetime) -> None:
    """These are open still."""
    tx.execute(sessions.update().where(sessions.c.id.in_(ids)).values(seen_at=now))


def remove(tx: Tx, session_id: str) -> None:
    """It is closed."""
    tx.execute(sessions.delete().where(sessions.c.id == session_id))


def remove_lost(tx: Tx, before: datetime) -> None:
    """Those that nobody has seen since: their process died."""
    tx.execute(sessions.delete().where(sessions.c.seen_at < before))


def of_user(tx: Tx, user_id: int, since: datetime) -> list[Session]:
    """What somebody has open, as far as it was seen since then; the oldest first."""
    columns = [sessions.c[name] for name in Session.__dataclass_fields__]
    query = sa.select(*columns).where(sessions.c.user_id == user_id, sessions.c.seen_at >= since)
    return [Session(**row._mapping) for row in tx.execute(query.order_by(sessions.c.began_at))]
