"""The audit trail: a hash chain in the database, appended in the transaction of the change itself.

Each event's hash covers the hash before it, so an edited, inserted or deleted event breaks the
chain from there on; the head row shows when events were cut off at the end.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from portal.db.connection import Tx
from portal.db.schema import audit_events, audit_head, offloads

PRUNED, RESTORED = "audit.pruned", "database.restored"
AT_ONCE = 1000
"""Rows that are in memory while all are read."""


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
class Wanted:
    """Which events; what is empty or None limits nothing. `kind`: the noun that actions begin with.

    `text`: anywhere in an event, whatever its case.
    """

    actor: str = ""
    subject: str = ""
    kind: str = ""
    since: datetime | None = None
    until: datetime | None = None
    text: str = ""


@dataclass(frozen=True)
class Link:
    """An event as the chain has it: `details` is the text that was hashed."""

    seq: int
    at: datetime
    actor: str
    action: str
    subject: str
    details: str
    previous_hash: str
    hash: str


@dataclass(frozen=True)
class Verdict:
    """The outcome of verify(): `broken_at` is the first sequence number that does not fit."""

    events: int
    broken_at: int | None
    problem: str = ""
    signed: int = 0
    """Up to which number a signed checkpoint vouches for it."""
    key: str = ""
    """How that checkpoint's key is recognised: the beginning of its SHA-256."""


def append(tx: Tx, at: datetime, actor: str, action: str, subject: str, **details: Any) -> None:
    """Add one event to the chain, in the caller's transaction."""
    # Takes the row lock: writers queue here.
    tx.execute(audit_head.update().values(seq=audit_head.c.seq + 1))
    head = tx.execute(sa.select(audit_head)).one()
    text = json.dumps(details, sort_keys=True, separators=(",", ":"), default=str)
    own = digest(head.hash, head.seq, at, actor, action, subject, text)
    tx.execute(
        audit_events.insert().values(
            seq=head.seq,
            at=at,
            actor=actor,
            action=action,
            subject=subject,
            details=text,
            previous_hash=head.hash,
            hash=own,
        )
    )
    tx.execute(audit_head.update().values(hash=own))


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Details of a change: each field as it is now, and in `before` what differs, as it was."""
    was = {name: value for name, value in before.items() if value != after[name]}
    return {**after, "before": was}


def change(event: AuditEvent) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields that an event changed, before and after; none where it changed nothing known.

    Those of older versions name one value, without its field.
    """
    details = event.details
    if "before" not in details:
        return {}, {}
    before = details["before"]
    if isinstance(before, Mapping):
        return dict(before), {name: details.get(name) for name in before}
    name = event.action.rpartition(".")[2]
    return {name: before}, {name: details.get("after", details.get(name))}


def events(tx: Tx, subject: str | None = None) -> list[AuditEvent]:
    """Events in order, of one subject or all."""
    query = sa.select(audit_events).order_by(audit_events.c.seq)
    if subject is not None:
        query = query.where(audit_events.c.subject == subject)
    return [_event(row) for row in tx.execute(query)]


def _event(row: sa.Row[Any]) -> AuditEvent:
    details = json.loads(row.details)
    return AuditEvent(row.seq, row.at, row.actor, row.action, row.subject, details)


def search(tx: Tx, wanted: Wanted, before: int | None, limit: int | None) -> list[AuditEvent]:
    """So many events at most, the newest first, of those with lower numbers than `before`."""
    c, query = audit_events.c, sa.select(audit_events)
    if before is not None:
        query = query.where(c.seq < before)
    if wanted.actor:
        query = query.where(c.actor == wanted.actor)
    if wanted.subject:
        query = query.where(c.subject == wanted.subject)
    if wanted.kind:
        query = query.where(c.action.startswith(f"{wanted.kind}.", autoescape=True))
    if wanted.since:
        query = query.where(c.at >= wanted.since)
    if wanted.until:
        query = query.where(c.at < wanted.until)
    if wanted.text:
        places = (c.details, c.subject, c.actor, c.action)
        query = query.where(
            sa.or_(*(place.icontains(wanted.text, autoescape=True) for place in places))
        )
    return [_event(row) for row in tx.execute(query.order_by(c.seq.desc()).limit(limit))]


def span(tx: Tx, since: datetime | None, until: datetime | None) -> tuple[int, int]:
    """The first and last number of a period, all between counted; (1, 0) for none.

    A clock may have gone back: what was written meanwhile is in.
    """
    c = audit_events.c
    first, final = sa.select(sa.func.min(c.seq)), sa.select(sa.func.max(c.seq))
    if since:
        first = first.where(c.at >= since)
    if until:
        final = final.where(c.at < until)
    numbers = tx.execute(first).scalar(), tx.execute(final).scalar()
    return (numbers[0], numbers[1]) if numbers[0] and numbers[1] else (1, 0)


def links(tx: Tx, first: int, final: int) -> list[Link]:
    """The chain between two numbers, both counted."""
    query = sa.select(audit_events).where(audit_events.c.seq.between(first, final))
    return [Link(*row) for row in tx.execute(query.order_by(audit_events.c.seq))]


def last(tx: Tx, action: str, now: datetime) -> datetime | None:
    """When this was last done; what a wrong clock has after `now` was done at no known time."""
    done = (audit_events.c.action == action) & (audit_events.c.at <= now)
    query = sa.select(sa.func.max(audit_events.c.at)).where(done)
    at: datetime | None = tx.execute(query).scalar()
    return at


def verify(tx: Tx) -> Verdict:
    """Walk the whole chain, from where it begins, and say where it breaks, if it does."""
    head = tx.execute(sa.select(audit_head)).one()
    previous, count, pruned = head.base_hash, 0, ""
    query = sa.select(audit_events).order_by(audit_events.c.seq)
    for row in tx.execute(query.execution_options(yield_per=AT_ONCE)):
        count += 1
        seq = head.base_seq + count
        if row.seq != seq:
            return Verdict(count, seq, f"event {seq} is missing")
        expected = digest(
            previous, row.seq, row.at, row.actor, row.action, row.subject, row.details
        )
        if row.previous_hash != previous or row.hash != expected:
            return Verdict(count, row.seq, f"event {row.seq} was changed after it was written")
        previous = row.hash
        if row.action == PRUNED:
            pruned = row.details
    final = head.base_seq + count
    if (head.seq, head.hash) != (final, previous):
        return Verdict(
            count, final + 1, f"events after {final} were deleted; the chain once had {head.seq}"
        )
    if head.base_seq and not _says(pruned, head.base_seq, head.base_hash):
        first = head.base_seq + 1
        return Verdict(count, first, f"nothing says that the events before {first} were removed")
    return Verdict(count, None)


def _says(details: str, seq: int, hash_: str) -> bool:
    """Whether an event of a removal names this end."""
    said = json.loads(details) if details else {}
    return (said.get("until"), said.get("hash")) == (seq, hash_)


def head(tx: Tx) -> tuple[int, str]:
    """Number and hash of the last event."""
    row = tx.execute(sa.select(audit_head.c.seq, audit_head.c.hash)).one()
    return row.seq, row.hash


def base(tx: Tx) -> int:
    """The number of the last event that was removed; 0 for none."""
    return int(tx.execute(sa.select(audit_head.c.base_seq)).scalar_one())


def prune(tx: Tx, at: datetime, actor: str, until: int, **details: Any) -> None:
    """Remove the events up to a number, and say so in the chain: it verifies from there on."""
    [last_removed] = links(tx, until, until)
    tx.execute(audit_events.delete().where(audit_events.c.seq <= until))
    tx.execute(audit_head.update().values(base_seq=until, base_hash=last_removed.hash))
    said = {"until": until, "hash": last_removed.hash, **details}
    append(tx, at, actor, PRUNED, "audit:trail", **said)


def put_offload(tx: Tx, at: datetime, sent: int, problem: str) -> None:
    """How far the collector elsewhere has it."""
    values = {"sent": sent, "at": at, "problem": problem}
    if tx.execute(offloads.update().values(**values)).rowcount == 0:
        tx.execute(offloads.insert().values(id=1, **values))


def offload(tx: Tx) -> tuple[int, datetime, str] | None:
    """As put_offload() noted it last: sent, when, problem."""
    row = tx.execute(sa.select(offloads.c.sent, offloads.c.at, offloads.c.problem)).first()
    return (row.sent, row.at, row.problem) if row else None


def hash_at(tx: Tx, seq: int) -> str:
    """The hash of an event, of the last that was removed, too; "" for what never was."""
    known = links(tx, seq, seq)
    if known:
        return known[0].hash
    removed = tx.execute(sa.select(audit_head.c.base_seq, audit_head.c.base_hash)).one()
    return str(removed.base_hash) if removed.base_seq == seq else ""


def last_before(tx: Tx, at: datetime) -> int:
    """The number before the first event that is not older than this; a clock may have gone back."""
    c = audit_events.c
    first = tx.execute(sa.select(sa.func.min(c.seq)).where(c.at >= at)).scalar()
    return int(first) - 1 if first is not None else head(tx)[0]


def of_action(tx: Tx, action: str) -> list[Link]:
    """All events of this kind, as the chain has them."""
    query = sa.select(audit_events).where(audit_events.c.action == action)
    return [Link(*row) for row in tx.execute(query.order_by(audit_events.c.seq))]


def restores(tx: Tx, until: int) -> list[tuple[int, datetime]]:
    """Number and time of each restore of the database up to a number, in order."""
    c = audit_events.c
    query = sa.select(c.seq, c.at).where(c.action == RESTORED, c.seq <= until).order_by(c.seq)
    return [(row.seq, row.at) for row in tx.execute(query)]


def last_seq(tx: Tx, action: str) -> int | None:
    """The number of the last event of this kind."""
    query = sa.select(sa.func.max(audit_events.c.seq)).where(audit_events.c.action == action)
    seq: int | None = tx.execute(query).scalar()
    return seq


def digest(previous: str, seq: int, at: datetime, *texts: str) -> str:
    """The hash of an event: of the one before, number, time, actor, action, subject, details."""
    parts = [previous, str(seq), at.astimezone(UTC).isoformat(timespec="microseconds"), *texts]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
