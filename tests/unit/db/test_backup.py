"""Backups: consistent, verified, restored into either database's schema of then or now."""

from __future__ import annotations

import gzip
import stat
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from portal import db, deployments
from portal.context import Portal
from portal.core.errors import Conflict, Invalid
from portal.core.models import Deployment, Order
from portal.core.people import User
from portal.db import backup
from portal.db.connection import Database
from portal.db.schema import metadata
from support.fakes import FakeClock


@pytest.fixture
def lived(portal: Portal, jane: User, work_off: Callable[[str], Deployment]) -> Portal:
    """A portal on which something happened."""
    made = deployments.request(portal, jane, Order("ml-cpu", name="mine"))
    work_off(made.id)
    return portal


def everything(records: Database) -> dict[str, list[tuple[object, ...]]]:
    with records.reading() as tx:
        return {
            table.name: [
                tuple(row)
                for row in tx.execute(table.select().order_by(*table.primary_key.columns))
            ]
            for table in metadata.sorted_tables
        }


def test_what_was_backed_up_comes_back_row_by_row(
    lived: Portal, clock: FakeClock, tmp_path: Path
) -> None:
    path = tmp_path / f"one{db.backup.SUFFIX}"
    manifest = db.backup.write(lived.database, path, clock())
    with closing(Database(f"sqlite:///{tmp_path}/new.db")) as fresh:
        assert db.backup.restore(fresh, path) == db.backup.verify(path)
        assert everything(fresh) == everything(lived.database)
        with fresh.reading() as tx:
            assert db.audit.verify(tx).broken_at is None
    assert manifest.rows == sum(len(rows) for rows in everything(lived.database).values())


def test_a_backup_is_for_its_owner_only_and_leaves_no_part(
    lived: Portal, clock: FakeClock, tmp_path: Path
) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    db.backup.write(lived.database, folder / f"a{db.backup.SUFFIX}", clock())
    assert [(path.name, stat.S_IMODE(path.stat().st_mode)) for path in folder.iterdir()] == [
        (f"a{db.backup.SUFFIX}", 0o600)
    ]


def test_what_happens_meanwhile_is_in_it_whole_or_not_at_all(
    lived: Portal, john: User, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, done = db.backup._put_table, list[Deployment]()

    def meddle(*arguments: object) -> tuple[int, str]:
        wrote = put(*arguments)  # type: ignore[arg-type]
        if not done:  # the first table is read, the others not yet
            done.append(deployments.request(lived, john, Order("ml-cpu", name="meanwhile")))
        return wrote

    monkeypatch.setattr(backup, "_put_table", meddle)
    path = tmp_path / f"one{db.backup.SUFFIX}"
    db.backup.write(lived.database, path, clock())
    with closing(Database(f"sqlite:///{tmp_path}/new.db")) as fresh:
        db.backup.restore(fresh, path)
        with fresh.reading() as tx:
            assert [deployment.name for deployment in db.deployments.of_user(tx, john.id)] == []
            assert db.audit.verify(tx).broken_at is None


def test_a_database_with_records_is_not_overwritten_unasked(
    lived: Portal, clock: FakeClock, tmp_path: Path
) -> None:
    path = tmp_path / f"one{db.backup.SUFFIX}"
    db.backup.write(lived.database, path, clock())
    before = everything(lived.database)
    with pytest.raises(Conflict) as refused:
        db.backup.restore(lived.database, path)
    assert refused.value.code == "not_empty"
    assert everything(lived.database) == before
    db.backup.restore(lived.database, path, replace=True)
    assert everything(lived.database) == before


@pytest.mark.parametrize("harm", ["cut", "text", "altered"])
def test_a_damaged_backup_is_refused_and_destroys_nothing(
    lived: Portal, clock: FakeClock, tmp_path: Path, harm: str
) -> None:
    path = tmp_path / f"one{db.backup.SUFFIX}"
    db.backup.write(lived.database, path, clock())
    whole = path.read_bytes()
    harmed = {
        "cut": whole[: len(whole) // 2],
        "text": b"not a backup",
        "altered": gzip.compress(gzip.decompress(whole).replace(b'"mine"', b'"nice"')),
    }
    path.write_bytes(harmed[harm])
    before = everything(lived.database)
    with pytest.raises(Invalid) as refused:
        db.backup.restore(lived.database, path, replace=True)
    assert refused.value.code in ("no_backup", "damaged")
    assert everything(lived.database) == before


def test_an_audit_trail_that_was_changed_is_found_when_the_backup_is_verified(
    lived: Portal, clock: FakeClock, tmp_path: Path
) -> None:
    with lived.database.transaction() as tx:
        tx.exec_driver_sql("UPDATE audit_events SET actor = 'nobody' WHERE seq = 1")
    path = tmp_path / f"one{db.backup.SUFFIX}"
    db.backup.write(lived.database, path, clock())
    with pytest.raises(Invalid, match="broken at event 1"):
        db.backup.verify(path)
    empty = tmp_path / "empty.db"
    with closing(Database(f"sqlite:///{empty}")) as database:
        with pytest.raises(Invalid, match="broken at event 1"):
            db.backup.restore(database, path)
        with database.reading() as tx:
            assert sa.inspect(tx).get_table_names() == []


def test_a_backup_of_an_older_schema_is_brought_to_the_newest(
    clock: FakeClock, tmp_path: Path
) -> None:
    path = tmp_path / f"one{db.backup.SUFFIX}"
    with closing(Database(f"sqlite:///{tmp_path}/old.db")) as old:
        old.migrate("0003")
        with old.transaction() as tx:
            tx.exec_driver_sql(
                "INSERT INTO vms (name, engine_url, address, state, reachable) "
                "VALUES ('vm-old', 'unix:///s', '10.0.0.9', 'active', 1)"
            )
        db.backup.write(old, path, clock())
    with closing(Database(f"sqlite:///{tmp_path}/new.db")) as fresh:
        assert db.backup.restore(fresh, path).revision == "0003"
        with fresh.reading() as tx:
            assert [(vm.name, vm.firewall) for vm in db.vms.all_vms(tx)] == [("vm-old", None)]


def test_a_backup_of_a_newer_portal_is_refused(
    lived: Portal, clock: FakeClock, tmp_path: Path
) -> None:
    path = tmp_path / f"one{db.backup.SUFFIX}"
    with lived.database.transaction() as tx:
        tx.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    db.backup.write(lived.database, path, clock())
    with pytest.raises(Invalid) as refused:
        db.backup.verify(path)
    assert refused.value.code == "newer_backup"


def test_only_the_newest_are_kept(tmp_path: Path, clock: FakeClock) -> None:
    names = [f"{clock() + timedelta(days=day):%Y%m%d}{db.backup.SUFFIX}" for day in range(5)]
    for name in (*names, "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in db.backup.keep_newest(tmp_path, 2)] == names[:3]
    assert sorted(path.name for path in tmp_path.iterdir()) == [*names[3:], "notes.txt"]
