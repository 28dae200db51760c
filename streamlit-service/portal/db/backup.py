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
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.util import CommandError

from portal.core.errors import Conflict, Invalid
from portal.db import audit, backup_file
from portal.db.backup_file import Manifest
from portal.db.connection import Database, Tx
from portal.db.schema import audit_head

SUFFIX = ".portal-backup.tar.gz"
BATCH = 500
NOT_KEPT = (
    "alembic_version",
    "recent_figures",
    "sessions",
    "visits",
    "consents",
    "findings",
    "offloads",
    "isolation",
)
"""Not rows of the portal's, and those that are of no use tomorrow."""


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
                manifest = Manifest(
                    backup_file.FORMAT, now.isoformat(), _revision(tx), head, tables
                )
                _put(archive, backup_file.MANIFEST, json.dumps(vars(manifest)).encode())
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
            "Back it up, stop the services, and use --replace.",
        )
    verify(path)
    database.erase()  # its schema, where it has no records: the backup may be of an older one
    return _fill(database, path)


def keep_newest(folder: Path, keep: int) -> list[Path]:
    """Delete all but the newest backups of a folder; returns what was deleted.

    Other files are left alone. One from a time to come (a clock was wrong) counts as the oldest.
    """
    now = time.time()
    backups = sorted(
        folder.glob(f"*{SUFFIX}"), key=lambda path: (path.stat().st_mtime <= now, path.name)
    )
    gone = backups[: max(len(backups) - keep, 0)]
    for path in gone:
        path.unlink()
    return gone


def _fill(database: Database, path: Path) -> Manifest:
    manifest = backup_file.read(path)
    try:
        database.migrate(manifest.revision)
    except CommandError as error:
        raise Invalid(
            "newer_backup",
            f"{path.name} was made by a newer portal (schema {manifest.revision}).",
            "Restore it with that version.",
            cause=str(error),
        ) from error
    try:
        with database.transaction() as tx, tarfile.open(path, "r:gz") as archive:
            _check_tables(tx, path, manifest)
            _insert(tx, archive, manifest)
    except _NO_ROWS as error:
        raise backup_file.damaged(path, "a row in it does not fit its table", error) from error
    with database.reading() as tx:
        head = tx.execute(sa.select(audit_head.c.hash)).scalar()
    if head != manifest.audit_hash:
        raise backup_file.damaged(path, "its audit trail does not end where its manifest says")
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


def _check_tables(tx: Tx, path: Path, manifest: Manifest) -> None:
    if {table.name for table in _present(tx)} != set(manifest.tables):
        raise backup_file.damaged(path, "its tables do not match its schema")


def _insert(tx: Tx, archive: tarfile.TarFile, manifest: Manifest) -> None:
    present = _present(tx)
    for table in reversed(present):
        tx.execute(table.delete())  # what the migrations put there
    for table in present:
        for rows in _batched(backup_file.lines(archive, table.name), BATCH):
            tx.execute(table.insert(), [_decode(table, json.loads(line)) for line in rows])
        _continue_numbering(tx, table)
        count = sa.select(sa.func.count()).select_from(table)
        if tx.execute(count).scalar_one() != manifest.tables[table.name][0]:
            raise ValueError(f"{table.name} has a different number of rows")


_NO_ROWS = (
    AttributeError,
    KeyError,
    OverflowError,
    TypeError,
    ValueError,
    sa.exc.StatementError,
)
"""What rows fail with that no portal wrote."""


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
        info = tarfile.TarInfo(backup_file.member(table.name))
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
    return [table for table in schema.sorted_tables if table.name not in NOT_KEPT]


def _revision(tx: Tx) -> str:
    return str(tx.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one())


def _put(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o600
    archive.addfile(info, io.BytesIO(content))
