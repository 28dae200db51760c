"""What the sender of the audit trail asks for, and what it tells."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from portal import db
from portal.context import Portal
from portal.db.audit import Link

RESTORED = "database.restored"


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


def after(portal: Portal, seq: int, hash_: str, most: int) -> Next:
    """The next events after the one of this number and hash, in order.

    A database that was restored has other events with numbers that were sent: then all since.
    """
    with portal.database.reading() as tx:
        links = db.audit.links(tx, seq + 1, seq + most)
        if not seq or (links and links[0].previous_hash == hash_):
            return Next(links)
        if not links and db.audit.head(tx) == (seq, hash_):
            return Next([])
        restored = db.audit.last_seq(tx, RESTORED)
        if restored is not None and restored <= seq:
            return Next(db.audit.links(tx, restored, restored + most - 1))
        if base := db.audit.base(tx):  # removed before it was sent
            links = db.audit.links(tx, max(seq, base) + 1, max(seq, base) + most)
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
