"""Backups: every row of one moment in one file, readable by either database, proven before it is trusted.

The file is a tar (gzip) of manifest.json and a JSON line for each row, table by table. It holds everything but
secrets in files, images and home folders; notebooks' tokens are in it, so it is written for its owner only (0600).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.util import CommandError

from portal import audit
from portal.errors import Conflict, Invalid
from portal.schema import audit_head
from portal.store import Store, Tx

FORMAT = 1
SUFFIX = ".portal-backup.tar.gz"
BATCH = 500


@dataclass(frozen=True)
class Manifest:
    """What a backup says of itself. `tables`: rows and SHA-256 by table; `audit_hash`: the newest of the chain."""

    format: int
    made_at: str
    revision: str
    audit_hash: str
    tables: dict[str, tuple[int, str]]

    @property
    def rows(self) -> int:
        """In all tables."""
        return sum(count for count, _ in self.tables.values())


def write(store: Store, path: Path, now: datetime) -> Manifest:
    """Back up to a new file, whole or not at all, while everything runs; also a database of an older schema."""
    temporary = path.with_name(f".{path.name}.part")
    tables: dict[str, tuple[int, str]] = {}
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as raw:
            with tarfile.open(fileobj=raw, mode="w:gz") as archive, store.reading() as tx:
                for table in _present(tx):
                    lines = b"".join(_lines(tx, table))
                    tables[table.name] = lines.count(b"\n"), hashlib.sha256(lines).hexdigest()
                    _put(archive, f"{table.name}.jsonl", lines)
                head = tx.execute(sa.select(audit_head.c.hash)).scalar_one()
                manifest = Manifest(FORMAT, now.isoformat(), _revision(tx), head, tables)
                _put(archive, "manifest.json", json.dumps(vars(manifest)).encode())
            raw.flush()
            os.fsync(raw.fileno())
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)
    return manifest


def prove(path: Path) -> Manifest:
    """Restore a backup into a database of its own, beside everything, and verify its audit trail. Raises Invalid."""
    with tempfile.TemporaryDirectory() as folder, closing(Store(f"sqlite:///{folder}/proof.db")) as store:
        return _fill(store, path)


def restore(store: Store, path: Path, *, replace: bool = False) -> Manifest:
    """Fill an empty database from a backup, and bring it to the newest schema.

    The backup is proven first, so that a broken one destroys nothing. Conflict: the database has records, and
    `replace` was not said.
    """
    if store.has_records():
        if not replace:
            raise Conflict("not_empty", "The database has records; a restore would destroy them.",
                           "Back it up, stop the services, and say --replace.")  # fmt: skip
        prove(path)
        store.erase()
    return _fill(store, path)


def keep_newest(folder: Path, keep: int) -> list[Path]:
    """Delete all but the newest backups of a folder; returns what was deleted. Other files are left alone."""
    every = sorted(folder.glob(f"*{SUFFIX}"))
    gone = every[: max(len(every) - keep, 0)]
    for path in gone:
        path.unlink()
    return gone


def _fill(store: Store, path: Path) -> Manifest:
    manifest, contents = _read(path)
    try:
        store.migrate(manifest.revision)
    except CommandError as error:
        raise Invalid("newer_backup", f"{path.name} was made by a newer portal (schema {manifest.revision}).",
                      "Restore it with that version.", cause=str(error)) from error  # fmt: skip
    with store.transaction() as tx:
        present = _present(tx)
        for table in reversed(present):
            tx.execute(table.delete())  # what the migrations put there
        for table in present:
            rows = [_decode(table, json.loads(line)) for line in contents.get(table.name, b"").splitlines()]
            for start in range(0, len(rows), BATCH):
                tx.execute(table.insert(), rows[start : start + BATCH])
            _continue_numbering(tx, table)
    store.migrate()
    with store.reading() as tx:
        verdict = audit.verify(tx)
    if verdict.broken_at is not None:
        raise Invalid("broken_chain", f"The backup's audit trail is broken at event {verdict.broken_at}.",
                      "It was changed, or made from a changed database. Use another backup.")  # fmt: skip
    return manifest


def _read(path: Path) -> tuple[Manifest, dict[str, bytes]]:
    """The manifest and every table's lines, with their checksums compared."""
    try:
        with tarfile.open(path, "r:gz") as archive:
            files = {member.name: _get(archive, member) for member in archive.getmembers()}
        manifest = Manifest(**json.loads(files.pop("manifest.json")))
    except FileNotFoundError as error:
        raise Invalid("no_backup", f"There is no file {path}.", "Name a backup.") from error
    except (OSError, EOFError, KeyError, TypeError, ValueError, tarfile.TarError) as error:
        raise Invalid("no_backup", f"{path.name} is no backup of a portal, or it is cut off.",
                      "Use another backup.", cause=str(error)) from error  # fmt: skip
    if manifest.format != FORMAT:
        raise Invalid("other_format", f"{path.name} is a backup of format {manifest.format}, not {FORMAT}.",
                      "Restore it with the program that made it.")  # fmt: skip
    contents = {}
    for name, (_, digest) in manifest.tables.items():
        contents[name] = files.get(f"{name}.jsonl", b"")
        if hashlib.sha256(contents[name]).hexdigest() != digest:
            raise Invalid("damaged", f"{path.name} is damaged: its table {name} is not what was written.",
                          "Use another backup.")  # fmt: skip
    return manifest, contents


def _lines(tx: Tx, table: sa.Table) -> Iterator[bytes]:
    for row in tx.execute(sa.select(table).order_by(*table.primary_key.columns)).mappings():
        yield json.dumps(dict(row), default=_encode, separators=(",", ":")).encode() + b"\n"


def _encode(value: object) -> str:
    if isinstance(value, datetime):  # SQLite forgets zones; what is stored is UTC
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} cannot be backed up")


def _decode(table: sa.Table, row: dict[str, Any]) -> dict[str, Any]:
    for name, value in row.items():
        kind = table.c[name].type
        if value is None:
            row[name] = sa.null() if isinstance(kind, sa.JSON) else None
        elif isinstance(kind, sa.DateTime):
            row[name] = datetime.fromisoformat(value)
        elif isinstance(kind, sa.Date):
            row[name] = date.fromisoformat(value)
    return row


def _continue_numbering(tx: Tx, table: sa.Table) -> None:
    """PostgreSQL counts by itself and must be told where the given numbers end; SQLite looks."""
    if tx.dialect.name != "postgresql":
        return
    for column in table.primary_key.columns:
        sequence = tx.execute(sa.select(sa.func.pg_get_serial_sequence(table.name, column.name))).scalar()
        if sequence:
            highest = sa.select(sa.func.coalesce(sa.func.max(column), 0) + 1).scalar_subquery()
            tx.execute(sa.select(sa.func.setval(sequence, highest, False)))


def _present(tx: Tx) -> list[sa.Table]:
    """The tables as they are in this database, those first that others refer to."""
    found = sa.MetaData()
    found.reflect(tx)
    return [table for table in found.sorted_tables if table.name != "alembic_version"]


def _revision(tx: Tx) -> str:
    return str(tx.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one())


def _put(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o600
    archive.addfile(info, io.BytesIO(content))


def _get(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(member)
    return stream.read() if stream else b""
