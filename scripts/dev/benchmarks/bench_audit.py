"""Bench of the audit trail: a million events verified, searched, and how fast they are written."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

import sqlalchemy as sa
from portal import audit, db
from portal.audit import Wanted
from portal.context import Portal
from portal.core.people import CommandLine
from portal.core.settings import Settings
from portal.db.connection import Database
from portal.db.schema import audit_events, audit_head
from rows import Row, Sizes, row, timed

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
WHO = CommandLine("bench")
AT_ONCE = 10_000
FEW = 1000
RARE = "quota.set"


def benchmarks(sizes: Sizes) -> dict[str, Callable[[], Row]]:
    """The rows, by name."""
    return {
        "audit, verify": lambda: _verify(sizes),
        "audit, page": lambda: _page(sizes),
        "audit, text": lambda: _text(sizes),
        "audit, write": lambda: _write(sizes),
    }


def _verify(sizes: Sizes) -> Row:
    """The whole chain, against hashing as many texts of that length that are there already."""
    with _portal(sizes.events) as portal:
        verdict = audit.verify
        measured = timed(lambda: _whole(verdict(portal, WHO).broken_at))
        text = json.dumps(["0" * 64, "1", "2026-01-01", "edipi:1234567890", "x" * 80]).encode()
        floor = timed(lambda: [hashlib.sha256(text).digest() for _ in range(sizes.events)])
    return row(f"{sizes.events:,} audit events verified / hashed", [measured], [floor], "< 60 s")


def _whole(broken_at: int | None) -> None:
    if broken_at is not None:
        raise RuntimeError(f"the chain is broken at {broken_at}")


def _page(sizes: Sizes) -> Row:
    """What the Audit page asks first, and where somebody narrows it, the slowest of them."""
    asked = (
        Wanted(),
        Wanted(since=BEGAN + timedelta(days=1)),
        Wanted(actor="edipi:1000000007"),
        Wanted(kind="quota"),
        Wanted(actor="edipi:1000000007", text="vm-7"),
    )
    return _searched(sizes, "the Audit page's slowest first rows", asked, "< 300 ms")


def _text(sizes: Sizes) -> Row:
    """A text that nobody ever wrote, looked for in all of it."""
    return _searched(
        sizes, "a text in all of the audit trail", (Wanted(text="nothing"),), "< 1.5 s"
    )


def _searched(sizes: Sizes, what: str, asked: Sequence[Wanted], aim: str) -> Row:
    def slowest(portal: Portal) -> float:
        return max(timed(partial(audit.read, portal, WHO, each)) for each in asked)

    with _portal(sizes.events) as many, _portal(FEW) as few:
        measured, peer = [slowest(many)], [slowest(few)]
    return row(f"{what}, {sizes.events:,} events / {FEW:,}", measured, peer, aim, "ms")


def _write(sizes: Sizes) -> Row:
    """One event a transaction, against a plain insert a transaction into the same file."""
    with _portal(1) as portal:
        plain = sa.table("plain", sa.column("text"))
        with portal.database.transaction() as tx:
            tx.execute(sa.text("CREATE TABLE plain (text TEXT)"))

        def write() -> None:
            with portal.database.transaction() as tx:
                db.audit.append(tx, portal.now(), "worker", "vm.added", "vm:vm-1", reason="x" * 40)

        def insert() -> None:
            with portal.database.transaction() as tx:
                tx.execute(plain.insert().values(text="x" * 200))

        measured, peer = [], []
        for _ in range(sizes.calls):
            measured.append(timed(write))
            peer.append(timed(insert))
    return row("an audited event / a plain row, each a transaction", measured, peer, "< 1 ms", "ms")


@contextmanager
def _portal(events: int) -> Iterator[Portal]:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/bench.db"
        database = Database(url)
        database.migrate()
        fill(database, events)
        yield Portal(Settings(database_url=url), database, {}, lambda: BEGAN, lambda: None)
        database.close()


def fill(database: Database, events: int) -> None:
    """A chain as years leave it, straight into the tables."""
    previous, rows = "", []
    for seq in range(1, events + 1):
        who, at = f"edipi:{1_000_000_000 + seq % 1000}", BEGAN + timedelta(seconds=seq)
        action = RARE if seq % 100_000 == 0 else "deployment.running"
        event = (who, action, f"deployment:{seq:012x}", json.dumps({"vm": f"vm-{seq % 50}"}))
        digest = db.audit.digest(previous, seq, at, *event)
        names = ("actor", "action", "subject", "details")
        rows.append(
            {
                "seq": seq,
                "at": at,
                **dict(zip(names, event, strict=True)),
                "previous_hash": previous,
                "hash": digest,
            }
        )
        previous = digest
        if len(rows) == AT_ONCE or seq == events:
            with database.transaction() as tx:
                tx.execute(audit_events.insert(), rows)
            rows = []
    with database.transaction() as tx:
        tx.execute(audit_head.update().values(seq=events, hash=previous))
