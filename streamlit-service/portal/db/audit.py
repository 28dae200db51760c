"""The audit trail: a hash chain in the database, appended in the transaction of the change itself.

Each event's hash covers the hash before it, so an edited, inserted or deleted event breaks the
chain from there on; the head row shows when events were cut off at the end.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from portal.db.connection import Tx
from portal.db.schema import audit_events, audit_head


@dataclass(frozen=True)
class AuditEvent:
    """Who did what to what, when."""

    seq: int
    at: datetime
    actor: str
    action: str
    subject: str
    details: dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """The outcome of verify(): `broken_at` is the first sequence number that does not fit."""

    events: int
    broken_at: int | None
    problem: str = ""


def append(tx: Tx, at: datetime, actor: str, action: str, subject: str, **details: Any) -> None:
    """Add one event to the chain, in the caller's transaction."""
    # Takes the row lock: writers queue here.
    tx.execute(audit_head.update().values(seq=audit_head.c.seq + 1))
    head = tx.execute(sa.select(audit_head)).one()
    text = json.dumps(details, sort_keys=True, separators=(",", ":"), default=str)
    digest = _digest(head.hash, head.seq, at, actor, action, subject, text)
    tx.execute(
        audit_events.insert().values(
            seq=head.seq,
            at=at,
            actor=actor,
            action=action,
            subject=subject,
            details=text,
            previous_hash=head.hash,
            hash=digest,
        )
    )
    tx.execute(audit_head.update().values(hash=digest))


def events(tx: Tx, subject: str | None = None) -> list[AuditEvent]:
    """Events in order, of one subject or all."""
    query = sa.select(audit_events).order_by(audit_events.c.seq)
    if subject is not None:
        query = query.where(audit_events.c.subject == subject)
    return [
        AuditEvent(r.seq, r.at, r.actor, r.action, r.subject, json.loads(r.details))
        for r in tx.execute(query)
    ]


def last(tx: Tx, action: str, now: datetime) -> datetime | None:
    """When this was last done; what a wrong clock has after `now` was done at no known time."""
    done = (audit_events.c.action == action) & (audit_events.c.at <= now)
    query = sa.select(sa.func.max(audit_events.c.at)).where(done)
    at: datetime | None = tx.execute(query).scalar()
    return at


def verify(tx: Tx) -> Verdict:
    """Walk the whole chain and say where it breaks, if it does."""
    previous, count = "", 0
    for row in tx.execute(sa.select(audit_events).order_by(audit_events.c.seq)):
        count += 1
        if row.seq != count:
            return Verdict(count, count, f"event {count} is missing")
        expected = _digest(
            previous, row.seq, row.at, row.actor, row.action, row.subject, row.details
        )
        if row.previous_hash != previous or row.hash != expected:
            return Verdict(count, row.seq, f"event {row.seq} was changed after it was written")
        previous = row.hash
    head = tx.execute(sa.select(audit_head)).one()
    if (head.seq, head.hash) != (count, previous):
        return Verdict(
            count, count + 1, f"events after {count} were deleted; the chain once had {head.seq}"
        )
    return Verdict(count, None)


def _digest(previous: str, seq: int, at: datetime, *texts: str) -> str:
    parts = [previous, str(seq), at.astimezone(UTC).isoformat(timespec="microseconds"), *texts]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
