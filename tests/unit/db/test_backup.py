"""Backups: consistent, verified, restored into either database's schema of then or now."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import stat
import tarfile
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from cli.backup import _until_due
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


Members = dict[str, bytes]


def manifest_of(members: Members) -> Any:
    return json.loads(members["manifest.json"])


def rewritten(path: Path, change: Callable[[Members], None]) -> None:
    """A backup with other files in it, and the checksums that they have."""
    with tarfile.open(path) as archive:
        members = {each.name: archive.extractfile(each).read() for each in archive}  # type: ignore[union-attr]
    before = dict(members)
    change(members)
    if members.get("manifest.json") == before["manifest.json"]:
        said = manifest_of(members)
        for name in said["tables"]:
            content = members.get(f"{name}.jsonl", b"")
            said["tables"][name][1] = hashlib.sha256(content).hexdigest()
        members["manifest.json"] = json.dumps(said).encode()
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def fewer_rows(members: Members) -> None:
    members["users.jsonl"] = b""


def no_table(members: Members) -> None:
    del members["leases.jsonl"]


def unlisted_table(members: Members) -> None:
    said = manifest_of(members)
    del said["tables"]["leases"]
    members["manifest.json"] = json.dumps(said).encode()


def forgotten_table(members: Members) -> None:
    unlisted_table(members)
    no_table(members)


def shorter_trail(members: Members) -> None:
    said = manifest_of(members)
    events = members["audit_events.jsonl"].splitlines(keepends=True)[:-1]
    last = json.loads(events[-1])
    members["audit_events.jsonl"] = b"".join(events)
    head = {"id": 1, "seq": last["seq"], "hash": last["hash"]}
    members["audit_head.jsonl"] = json.dumps(head).encode() + b"\n"
    for name in ("audit_events", "audit_head"):
        content = members[f"{name}.jsonl"]
        said["tables"][name] = [content.count(b"\n"), hashlib.sha256(content).hexdigest()]
    members["manifest.json"] = json.dumps(said).encode()


def row(text: bytes) -> Callable[[Members], None]:
    def change(members: Members) -> None:
        members["vms.jsonl"] = text + b"\n"

    return change


def saying(**values: Any) -> Callable[[Members], None]:
    def change(members: Members) -> None:
        members["manifest.json"] = json.dumps(manifest_of(members) | values).encode()

    return change


@pytest.mark.parametrize(
    "change",
    [
        fewer_rows,
        no_table,
        unlisted_table,
        forgotten_table,
        shorter_trail,
        *map(row, (b"[]", b"{", b'{"id": 1}', b'{"id": 1, "x": 2}', b'"id"', b"\xff", b"1" * 5000)),
        row(b'{"id": 99999999999999999999}'),
        saying(tables=[]),
        saying(tables={"vms": 3}),
        saying(tables={"vms": [1, 2]}),
        saying(tables={"vms": [-1, "0" * 64]}),
        saying(revision=7),
        saying(revision="-1"),
        saying(revision=""),
        saying(made_at=None),
        saying(audit_hash="0" * 64),
        saying(more="than that"),
        lambda members: members.update({"manifest.json": b"[" * 100_000}),
        lambda members: members.update({"manifest.json": b"{}"}),
        lambda members: members.pop("manifest.json"),
        saying(format=2),
        saying(format=[]),
    ],
)
def test_a_backup_that_no_portal_wrote_is_refused_in_words(
    lived: Portal, clock: FakeClock, tmp_path: Path, change: Callable[[Members], None]
) -> None:
    path = tmp_path / f"one{db.backup.SUFFIX}"
    db.backup.write(lived.database, path, clock())
    rewritten(path, change)
    with pytest.raises(Invalid) as refused:
        db.backup.verify(path)
    assert refused.value.code in ("no_backup", "damaged", "other_format")


def test_a_backup_from_a_time_to_come_is_the_first_to_go(tmp_path: Path) -> None:
    names = ("20260101", "20260102", "29990101")
    paths = [tmp_path / f"{name}{db.backup.SUFFIX}" for name in names]
    for path in paths:
        path.touch()
    os.utime(paths[2], (4e9, 4e9))
    assert db.backup.keep_newest(tmp_path, 2) == [paths[2]]
    assert _until_due(tmp_path, 3600) > 0


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


@pytest.mark.parametrize("revision", ["0003", "0006", "0007", "head"])
def test_a_backup_goes_into_a_database_that_only_has_its_schema(
    clock: FakeClock, tmp_path: Path, revision: str
) -> None:
    path = tmp_path / f"one{db.backup.SUFFIX}"
    with closing(Database(f"sqlite:///{tmp_path}/old.db")) as old:
        old.migrate(revision)
        db.backup.write(old, path, clock())
    with closing(Database(f"sqlite:///{tmp_path}/new.db")) as fresh:
        fresh.migrate()
        db.backup.restore(fresh, path)
        with fresh.reading() as tx:
            assert db.vms.all_vms(tx) == []


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
