"""A database that is busy, full, read-only or away: in words, and nothing was written."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from portal import db, deployments
from portal.context import Portal
from portal.core.errors import DatabaseTrouble
from portal.core.models import Deployment, Order, State
from portal.core.people import User
from portal.db import sqlite, troubles
from portal.db.connection import Database


def test_one_that_is_held_by_another_writer_is_busy(
    portal: Portal, jane: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_S", 0.05)
    again = Database(portal.settings.database_url)
    path = portal.settings.database_url.removeprefix("sqlite:///")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseTrouble) as busy, again.transaction() as tx:
        db.users.all_users(tx)
    assert (busy.value.code, busy.value.status) == ("database_busy", 503)
    with again.reading() as tx:  # reads go on
        assert [user.id for user in db.users.all_users(tx)] == [jane.id]
    other.rollback()
    other.close()
    with again.transaction() as tx:
        db.users.all_users(tx)
    again.close()


def fill(portal: Portal, pages: int) -> None:
    """Write more than fits into a database of so many pages."""
    with portal.database.transaction() as tx:
        tx.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        for number in range(2000):
            db.audit.append(tx, portal.now(), "test", "test.filled", "x" * 4000, number=number)


def test_one_whose_disk_is_full_says_so_and_keeps_what_was_there(
    portal: Portal, jane: User
) -> None:
    with portal.database.reading() as tx:
        pages = int(tx.exec_driver_sql("PRAGMA page_count").scalar_one())
    with pytest.raises(DatabaseTrouble) as full:
        fill(portal, pages)
    assert full.value.code == "database_full"
    with portal.database.reading() as tx:
        assert db.users.by_subject(tx, jane.subject)
        assert db.audit.last(tx, "test.filled", portal.now()) is None


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (psycopg.errors.DiskFull(), "database_full"),
        (psycopg.errors.ReadOnlySqlTransaction(), "database_read_only"),
        (psycopg.errors.AdminShutdown(), "database_away"),
        (psycopg.errors.DeadlockDetected(), "database_busy"),
        (psycopg.OperationalError("connection refused"), "database_away"),
        (psycopg.errors.DataCorrupted(), "database_damaged"),
        (psycopg.errors.InternalError_(), None),
        (sqlite3.DatabaseError("database disk image is malformed"), "database_damaged"),
        (sqlite3.DatabaseError("file is not a database"), "database_damaged"),
        (sqlite3.OperationalError("out of memory"), "database_busy"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "database_read_only"),
        (sqlite3.OperationalError("unable to open database file"), "database_away"),
        (sqlite3.OperationalError('near "nothing": syntax error'), None),
    ],
)
def test_what_each_database_says_is_known(error: Exception, code: str | None) -> None:
    wrapped = sa.exc.OperationalError("SELECT 1", None, error)
    known = troubles.trouble(wrapped)
    assert (known.code if known else None) == code


def test_a_database_in_trouble_fails_nobodys_container(
    portal: Portal,
    jane: User,
    work_off: Callable[..., Deployment],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = deployments.request(portal, jane, Order("ml-cpu", "first"))

    def busy(*_: object, **__: object) -> None:
        raise DatabaseTrouble("database_busy", "It is busy.")

    with monkeypatch.context() as patched:
        patched.setattr(db.deployments, "update_claimed", busy)
        with pytest.raises(DatabaseTrouble):
            work_off(made.id)
    assert deployments.get(portal, jane, made.id).state is State.PENDING


def test_a_folder_without_the_database_is_away(tmp_path: Path) -> None:
    with (
        pytest.raises(DatabaseTrouble) as away,
        Database(f"sqlite:///{tmp_path}/no/p.db").reading(),
    ):
        pass
    assert away.value.code == "database_away"
