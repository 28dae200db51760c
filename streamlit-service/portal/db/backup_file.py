"""The file of a backup as it is read: nothing in it is believed before it was compared."""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, Any

from portal.core.errors import Invalid

FORMAT = 1
MANIFEST = "manifest.json"
CHUNK = 2**20
MAX_MANIFEST = 2**20
_SHA256 = re.compile(r"[0-9a-f]{64}")
_UNREADABLE = (
    OSError,
    EOFError,
    KeyError,
    RecursionError,
    TypeError,
    ValueError,
    zlib.error,
    tarfile.TarError,
)


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


def read(path: Path) -> Manifest:
    """The manifest, after every table's checksum was compared. Raises Invalid.

    A table is never held in memory as a whole. Checksums find damage and mistakes; who can write
    the file can write others.
    """
    digests: dict[str, str] = {}
    said: Any = None
    try:
        with tarfile.open(path, "r:gz") as archive:
            for entry in archive:
                stream = archive.extractfile(entry)
                if stream is None or entry.name in digests:
                    raise damaged(path, f"{entry.name} does not belong in a backup")
                if entry.name == MANIFEST:
                    said = json.loads(stream.read(MAX_MANIFEST))
                digests[entry.name] = _sha256(stream)
    except FileNotFoundError as error:
        raise Invalid("no_backup", f"There is no file {path}.", "Name a backup.") from error
    except _UNREADABLE as error:
        raise _no_backup(path, error) from error
    manifest = _manifest(path, said)
    if digests.keys() != {MANIFEST, *map(member, manifest.tables)}:
        raise damaged(path, "its tables do not match its manifest")
    for name, (_, digest) in manifest.tables.items():
        if digests[member(name)] != digest:
            raise damaged(path, f"its table {name} is not what was written")
    return manifest


def lines(archive: tarfile.TarFile, table: str) -> Iterator[bytes]:
    """The rows of a table, each a JSON object."""
    if stream := archive.extractfile(member(table)):
        yield from stream


def damaged(path: Path, what: str, cause: Exception | None = None) -> Invalid:
    """The answer for a backup that is not what was written."""
    return Invalid(
        "damaged",
        f"{path.name} is damaged: {what}.",
        "Use another backup.",
        cause=str(cause or ""),
    )


def _no_backup(path: Path, error: Exception | None = None) -> Invalid:
    return Invalid(
        "no_backup",
        f"{path.name} is not a portal backup, or is incomplete.",
        "Use another backup.",
        cause=str(error or ""),
    )


def _manifest(path: Path, said: Any) -> Manifest:
    if not isinstance(said, dict) or "format" not in said:
        raise _no_backup(path)
    if said["format"] != FORMAT:
        raise Invalid(
            "other_format",
            f"{path.name} is a backup of format {str(said['format'])[:20]}, not {FORMAT}.",
            "Restore it with the program that made it.",
        )
    texts = (said.get(name) for name in ("made_at", "revision", "audit_hash"))
    if (
        set(said) != {field.name for field in fields(Manifest)}
        or not all(isinstance(text, str) for text in texts)
        or not said["revision"].isalnum()
        or not isinstance(said["tables"], dict)
        or not all(map(_is_table, said["tables"].values()))
    ):
        raise damaged(path, "its manifest is not valid")
    return Manifest(**said)


def _is_table(said: Any) -> bool:
    match said:
        case [int(count), str(digest)]:
            return count >= 0 and bool(_SHA256.fullmatch(digest))
    return False


def member(table: str) -> str:
    """The name of a table's file."""
    return f"{table}.jsonl"


def _sha256(stream: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while part := stream.read(CHUNK):
        digest.update(part)
    return digest.hexdigest()
