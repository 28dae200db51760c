"""PostgreSQL's disk is full: that is said, what was accepted is kept, and it goes on by itself."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from databases import postgresql_in
from docker.models.containers import Container
from portal import db
from portal.core.errors import DatabaseTrouble
from portal.db.connection import Database

DATA = "/var/lib/postgresql/data"
SMALL = "rw,mode=0700,uid=10004,size=160m"
LEFT_MB = 3
EVENTS = 2_000
FILLED, LONG = "test.filled", 20_000
"""Random, so that nothing is saved by compressing it."""
BACK_S = 60


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Database, Container]]:
    """A database on a disk of 160 MB, almost full."""
    with postgresql_in(tmp_path, tmpfs={DATA: SMALL}) as (url, container):
        database = Database(url)
        free = f"$(($(df --output=avail -m {DATA} | tail -1) - {LEFT_MB}))"
        code, said = container.exec_run(["sh", "-c", f"head -c {free}M /dev/zero > {DATA}/filler"])
        assert code == 0, said
        yield database, container
        database.close()


def append(database: Database, number: int) -> DatabaseTrouble | None:
    """One event; None when it was written."""
    try:
        with database.transaction() as tx:
            db.audit.append(
                tx,
                datetime.now(UTC),
                "test",
                FILLED,
                "x",
                number=number,
                text=secrets.token_hex(LONG),
            )
    except DatabaseTrouble as trouble:
        return trouble
    return None


def test_what_was_accepted_before_the_disk_was_full_is_kept_and_the_rest_refused_in_words(
    served: tuple[Database, Container],
) -> None:
    database, container = served
    accepted = 0
    while accepted < EVENTS and (trouble := append(database, accepted)) is None:
        accepted += 1
    assert trouble is not None, "the disk did not fill"
    # It says full, or dies of it, where its own log of writes has no room (PostgreSQL, PANIC).
    assert trouble.code in ("database_full", "database_away")
    container.exec_run(["rm", f"{DATA}/filler"])
    deadline = time.monotonic() + BACK_S
    while append(database, accepted):
        assert time.monotonic() < deadline, container.logs(tail=20)
        time.sleep(0.2)  # polling its recovery
    with database.reading() as tx:
        assert db.audit.verify(tx).broken_at is None
        numbers = [each.details["number"] for each in db.audit.events(tx) if each.action == FILLED]
    assert numbers == list(range(accepted + 1))
