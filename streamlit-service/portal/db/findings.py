"""Rows of what health checks found last."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa

from portal.core.health import Finding, Status
from portal.db.connection import Tx
from portal.db.schema import findings


def replace(tx: Tx, found: Iterable[Status], now: datetime) -> None:
    """These hold now; what was so before of the same thing keeps since when.

    A message may count minutes: the same check of the same subject in the same state is the same.
    """
    began = {
        (row.check, row.subject, row.state): row.since for row in tx.execute(sa.select(findings))
    }
    tx.execute(findings.delete())
    rows = {
        (each.check, each.subject, each.message): {
            **vars(each),
            "since": began.get((each.check, each.subject, each.state), now),
            "seen_at": now,
        }
        for each in found
    }
    if rows:
        tx.execute(findings.insert(), list(rows.values()))


def last(tx: Tx) -> tuple[list[Finding], datetime | None]:
    """All of the last look, and when that was; None before the first."""
    rows = tx.execute(sa.select(findings)).all()
    found = [
        Finding(**{name: value for name, value in row._mapping.items() if name != "seen_at"})
        for row in rows
    ]
    return found, max((row.seen_at for row in rows), default=None)
