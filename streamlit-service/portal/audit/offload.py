"""What the sender of the audit trail asks for, and what it tells."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from portal import db
from portal.context import Portal
from portal.db.audit import Link


@dataclass(frozen=True)
class Offload:
    """How far it is: `sent` is the last number that the collector has; `at`: when it said so."""

    sent: int
    at: datetime
    problem: str
    behind: int
    """Events that the collector has not."""


@dataclass(frozen=True)
class Next:
    """What is to be sent next. `problem`: why it does not follow what was sent."""

    links: list[Link]
    problem: str = ""


def after(portal: Portal, seq: int, hash_: str, most: int, sent_at: datetime | None = None) -> Next:
    """The next events after the one of this number and hash, in order. `sent_at`: when it was sent.

    A database that was restored meanwhile has other events with numbers that were sent: then all
    since the restore.
    """
    with portal.database.reading() as tx:
        base = db.audit.base(tx)
        begins = max(seq, base) + 1
        links = db.audit.links(tx, begins, begins + most - 1)
        if not seq or (links and links[0].previous_hash == hash_):
            return Next(links)
        if not links and db.audit.head(tx) == (seq, hash_):
            return Next([])
        if seq < base:
            return Next(links, f"events {seq + 1} to {base} were removed before they were sent")
        restores = db.audit.restores(tx, seq)
        if restores:
            since = [each for each, at in restores if sent_at is None or at >= sent_at]
            restored = min(since, default=restores[-1][0])
            return Next(db.audit.links(tx, restored, restored + most - 1))
        return Next(links, f"event {seq} of the audit trail is not the one that was sent")


def report(portal: Portal, sent: int, problem: str) -> None:
    """Note how far the sender is, and what keeps it."""
    with portal.database.transaction() as tx:
        db.audit.put_offload(tx, portal.now(), sent, problem[:500])


def offload(tx: db.Tx) -> Offload | None:
    """How far it is; None where nothing was ever sent."""
    row = db.audit.offload(tx)
    if row is None:
        return None
    sent, at, problem = row
    last, _ = db.audit.head(tx)
    return Offload(sent, at, problem, max(0, last - sent))
