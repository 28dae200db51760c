"""A PostgreSQL that dies: its standby takes over, and nothing that was committed is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import databases
import docker
import pytest
from docker.models.containers import Container
from portal import db
from portal.core.errors import DatabaseTrouble
from portal.db.connection import Database

READY_S = 60.0
WRITERS = 4
STATE = "SELECT sync_state FROM pg_stat_replication"


def until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + READY_S
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)  # polling


@dataclass
class Pair:
    """Two PostgreSQL, one of which follows the other, each commit on both; `url` names both."""

    primary: Container
    standby: Container
    url: str

    def fail_over(self) -> None:
        """The power of one is cut; the other is told so, as Patroni or an administrator does."""
        self.primary.kill()
        databases.sql(self.standby, "SELECT pg_promote(true, 30)")


@pytest.fixture
def network() -> Iterator[str]:
    made = docker.from_env().networks.create(f"portal-failover-{time.time_ns()}")
    yield str(made.name)
    made.remove()


@pytest.fixture
def pair(tmp_path: Path, network: str) -> Iterator[Pair]:
    with (
        databases.postgresql_in(tmp_path, network=network) as (url, primary),
        databases.standby(tmp_path, network, primary) as (other, standby),
    ):
        # It is whole: what is set from here on is not copied to it.
        until(lambda: databases.sql(standby, "SELECT pg_is_in_recovery()") == "t", "it follows")
        databases.sql(primary, "ALTER SYSTEM SET synchronous_standby_names = '*'")
        databases.sql(primary, "SELECT pg_reload_conf()")
        until(lambda: databases.sql(primary, STATE) == "sync", "each commit is on both")
        start, _, name = url.rpartition("/")
        user, _, first = start.rpartition("@")
        hosts = f"host={first}&host=127.0.0.1:{other}&target_session_attrs=read-write"
        yield Pair(primary, standby, f"{user}@/{name}?{hosts}")


class Writer(threading.Thread):
    """Somebody who asks for one thing after the other, and again for what was refused."""

    def __init__(self, records: Database, number: int) -> None:
        super().__init__(daemon=True)
        self._records, self._number = records, number
        self.done: list[tuple[float, str]] = []
        """When, and what, was accepted."""
        self.refused: set[str] = set()
        self.over = threading.Event()

    def run(self) -> None:
        count = 0
        while not self.over.is_set():
            about = f"vm:{self._number}-{count}"
            try:
                with self._records.transaction() as tx:
                    db.serialize_writers(tx)
                    db.audit.append(tx, datetime.now(UTC), "worker", "vm.added", about)
            except DatabaseTrouble as trouble:
                self.refused.add(trouble.code)
                self.over.wait(0.2)
                continue
            self.done.append((time.monotonic(), about))
            count += 1


def test_who_writes_goes_on_at_the_other_and_all_that_was_accepted_is_there(
    pair: Pair, record_property: Callable[[str, object], None]
) -> None:
    records = Database(pair.url)
    writers = [Writer(records, number) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    until(lambda: all(len(writer.done) > 20 for writer in writers), "they write")
    at = time.monotonic()
    pair.fail_over()

    def go_on() -> bool:
        return all(writer.done[-1][0] > at + 1 for writer in writers)

    until(go_on, "they go on")
    for writer in writers:
        writer.over.set()
        writer.join()
    back = min(when for writer in writers for when, _ in writer.done if when > at + 0.05)
    record_property("database killed: written again after", f"{back - at:.1f} s")
    with records.reading() as tx:
        there = {event.subject for event in db.audit.events(tx)}
        verdict = db.audit.verify(tx)
    lost = {about for writer in writers for _, about in writer.done} - there
    assert lost == set()
    assert verdict.broken_at is None
    assert set().union(*(writer.refused for writer in writers)) <= {"database_away"}
    records.close()


def test_where_a_database_is_asked_for_is_named_for_each() -> None:
    url = "postgresql+psycopg://portal@/portal?host=pg-a:6432&host=pg-b"
    assert db.addresses(url) == [("pg-a", 6432), ("pg-b", 5432)]
    assert db.addresses("postgresql+psycopg://portal@postgres/portal") == [("postgres", 5432)]
    assert db.addresses("sqlite:////var/lib/portal/portal.db") == []
