"""Backups: every row of one moment in one file, readable by either database, verified at once.

The file is a tar (gzip) of manifest.json and a JSON line for each row, table by table. It holds
everything but secrets in files, images and home folders; notebooks' tokens are in it, so it is
written for its owner only (0600).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa
from alembic.util import CommandError

from portal.core.errors import Conflict, Invalid
from portal.db import audit
from portal.db.connection import Database, Tx
from portal.db.schema import audit_head

FORMAT = 1
SUFFIX = ".portal-backup.tar.gz"
BATCH = 500
CHUNK = 2**20


@dataclass(frozen=True)
class Manifest:
    """What a backup says of itself.

    `tables`: rows and SHA-256 by table; `audit_hash`: the newest of the chain.
    """

    format: int
    made_at: str
    revision: str
    audit_hash: str
    tables: dict[str, tuple[int, str]]

    @property
    def rows(self) -> int:
        """In all tables."""
        return sum(count for count, _ in self.tables.values())


def write(database: Database, path: Path, now: datetime) -> Manifest:
    """Back up to a new file, whole or not at all, while everything runs; older schemas too."""
    temporary = path.with_name(f".{path.name}.part")
    tables: dict[str, tuple[int, str]] = {}
    try:
        with os.fdopen(
            os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb"
        ) as raw:
            with tarfile.open(fileobj=raw, mode="w:gz") as archive, database.reading() as tx:
                for table in _present(tx):
                    tables[table.name] = _put_table(archive, tx, table, path.parent)
                head = tx.execute(sa.select(audit_head.c.hash)).scalar_one()
                manifest = Manifest(FORMAT, now.isoformat(), _revision(tx), head, tables)
                _put(archive, "manifest.json", json.dumps(vars(manifest)).encode())
            raw.flush()
            os.fsync(raw.fileno())
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)
    return manifest


def verify(path: Path) -> Manifest:
    """Restore a backup into a database of its own, beside everything, and verify its audit trail.

    Raises Invalid.
    """
    beside = path.parent if os.access(path.parent, os.W_OK) else None  # where there is room for it
    with (
        tempfile.TemporaryDirectory(dir=beside, prefix=".verify-") as folder,
        closing(Database(f"sqlite:///{folder}/verify.db")) as database,
    ):
        return _fill(database, path)


def restore(database: Database, path: Path, *, replace: bool = False) -> Manifest:
    """Fill an empty database from a backup, and bring it to the newest schema.

    The backup is verified first, so that a broken one touches nothing. Conflict: the database has
    records, and `replace` was not given.
    """
    has_records = database.has_records()
    if has_records and not replace:
        raise Conflict(
            "not_empty",
            "The database has records; a restore would destroy them.",
            "Back it up, stop the services, and say --replace.",
        )
    verify(path)
    if has_records:
        database.erase()
    return _fill(database, path)


def keep_newest(folder: Path, keep: int) -> list[Path]:
    """Delete all but the newest backups of a folder; returns what was deleted.

    Other files are left alone.
    """
    backups = sorted(folder.glob(f"*{SUFFIX}"))
    gone = backups[: max(len(backups) - keep, 0)]
    for path in gone:
        path.unlink()
    return gone


def _fill(database: Database, path: Path) -> Manifest:
    manifest = _read(path)
    try:
        database.migrate(manifest.revision)
    except CommandError as error:
        raise Invalid(
            "newer_backup",
            f"{path.name} was made by a newer portal (schema {manifest.revision}).",
            "Restore it with that version.",
            cause=str(error),
        ) from error
    with database.transaction() as tx, tarfile.open(path, "r:gz") as archive:
        present = _present(tx)
        for table in reversed(present):
            tx.execute(table.delete())  # what the migrations put there
        for table in present:
            for rows in _batched(_table_lines(archive, table.name), BATCH):
                tx.execute(table.insert(), [_decode(table, json.loads(line)) for line in rows])
            _continue_numbering(tx, table)
    database.migrate()
    with database.reading() as tx:
        verdict = audit.verify(tx)
    if verdict.broken_at is not None:
        raise Invalid(
            "broken_chain",
            f"The backup's audit trail is broken at event {verdict.broken_at}.",
            "It was changed, or made from a changed database. Use another backup.",
        )
    return manifest


def _read(path: Path) -> Manifest:
    """The manifest, after every table's checksum was compared.

    A table is never held in memory as a whole.
    """
    digests: dict[str, str] = {}
    metadata: dict[str, Any] = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                stream = archive.extractfile(member)
                if stream is None:
                    continue
                if member.name == "manifest.json":
                    metadata = json.load(stream)
                else:
                    digests[member.name] = _sha256(stream)
        manifest = Manifest(**metadata)
    except FileNotFoundError as error:
        raise Invalid("no_backup", f"There is no file {path}.", "Name a backup.") from error
    except (
        OSError,
        EOFError,
        KeyError,
        TypeError,
        ValueError,
        zlib.error,
        tarfile.TarError,
    ) as error:
        raise Invalid(
            "no_backup",
            f"{path.name} is no backup of a portal, or it is cut off.",
            "Use another backup.",
            cause=str(error),
        ) from error
    if manifest.format != FORMAT:
        raise Invalid(
            "other_format",
            f"{path.name} is a backup of format {manifest.format}, not {FORMAT}.",
            "Restore it with the program that made it.",
        )
    for name, (_, digest) in manifest.tables.items():
        if digests.get(f"{name}.jsonl") != digest:
            raise Invalid(
                "damaged",
                f"{path.name} is damaged: its table {name} is not what was written.",
                "Use another backup.",
            )
    return manifest


def _sha256(stream: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while part := stream.read(CHUNK):
        digest.update(part)
    return digest.hexdigest()


def _table_lines(archive: tarfile.TarFile, table: str) -> Iterator[bytes]:
    """Nothing for a table that the backup does not know."""
    with suppress(KeyError):
        if stream := archive.extractfile(f"{table}.jsonl"):
            yield from stream


def _batched(lines: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    """Lists of so many (itertools.batched of Python 3.12)."""
    remaining = iter(lines)
    while some := list(islice(remaining, size)):
        yield some


def _put_table(archive: tarfile.TarFile, tx: Tx, table: sa.Table, folder: Path) -> tuple[int, str]:
    """Rows and SHA-256 of what was put. By way of a file: tar wants the size before the content."""
    count, digest = 0, hashlib.sha256()
    with tempfile.TemporaryFile(dir=folder) as file:
        for line in _lines(tx, table):
            count += 1
            digest.update(line)
            file.write(line)
        info = tarfile.TarInfo(f"{table.name}.jsonl")
        info.size, info.mode = file.tell(), 0o600
        file.seek(0)
        archive.addfile(info, file)
    return count, digest.hexdigest()


def _lines(tx: Tx, table: sa.Table) -> Iterator[bytes]:
    rows = tx.execute(
        sa.select(table).order_by(*table.primary_key.columns),
        execution_options={"yield_per": BATCH},
    )
    for row in rows.mappings():
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
    """PostgreSQL counts by itself and must be given where the numbers end; SQLite sees."""
    if tx.dialect.name != "postgresql":
        return
    for column in table.primary_key.columns:
        sequence = tx.execute(
            sa.select(sa.func.pg_get_serial_sequence(table.name, column.name))
        ).scalar()
        if sequence:
            highest = sa.select(sa.func.coalesce(sa.func.max(column), 0) + 1).scalar_subquery()
            tx.execute(sa.select(sa.func.setval(sequence, highest, False)))


def _present(tx: Tx) -> list[sa.Table]:
    """The tables as they are in this database, those first that others refer to."""
    schema = sa.MetaData()
    schema.reflect(tx)
    return [table for table in schema.sorted_tables if table.name != "alembic_version"]


def _revision(tx: Tx) -> str:
    return str(tx.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one())


def _put(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o600
    archive.addfile(info, io.BytesIO(content))
