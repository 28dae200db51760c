"""The row that says which worker acts: held for a moment, renewed while it lives."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa

from portal.db.connection import Tx
from portal.db.schema import leaders

WORKER = "worker"
LONGEST = timedelta(minutes=1)
"""Nobody holds it for longer."""


def free(tx: Tx, token: str, now: datetime, ttl: timedelta) -> bool:
    """Whether this token's holder leads, or nobody does.

    What would last far longer than anybody may hold it is from before a clock was set back.
    """
    row = tx.execute(sa.select(leaders).where(leaders.c.name == WORKER)).one_or_none()
    longest = max(ttl, LONGEST)
    return row is None or row.token == token or not now <= row.expires_at <= now + longest


def holder(tx: Tx) -> str | None:
    """The token of who leads, or led last; two that would lead at once ask one after the other."""
    query = sa.select(leaders.c.token).where(leaders.c.name == WORKER)
    token: str | None = tx.execute(query.with_for_update()).scalar()
    return token


def is_other(tx: Tx, token: str) -> bool:
    """Whether another leads, or led last; as long as this transaction lasts, nobody takes over."""
    query = sa.select(leaders.c.token).where(leaders.c.name == WORKER)
    found = tx.execute(query.with_for_update(read=True)).scalar()
    return found is not None and found != token


def until(tx: Tx) -> datetime | None:
    """Until when somebody leads, or led last."""
    query = sa.select(leaders.c.expires_at).where(leaders.c.name == WORKER)
    at: datetime | None = tx.execute(query).scalar()
    return at


def take(tx: Tx, token: str, now: datetime, ttl: timedelta) -> bool:
    """Become or stay the leader; False while another is. Taken when somebody was faster."""
    if not free(tx, token, now, ttl):
        return False
    values = {"name": WORKER, "token": token, "expires_at": now + ttl}
    if tx.execute(leaders.update().where(leaders.c.name == WORKER).values(**values)).rowcount == 0:
        tx.execute(leaders.insert().values(**values))
    return True


def give_up(tx: Tx, token: str) -> None:
    """Let another lead at once; no-op for one that does not lead."""
    tx.execute(leaders.delete().where(leaders.c.name == WORKER, leaders.c.token == token))
