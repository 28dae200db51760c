"""The build context of an image. Of the standard library alone: `make demo` uses it too."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path


def context_of(folder: Path, certs: Path | None) -> io.BytesIO:
    """The folder as a tar, with the place's own CAs in certs/ .

    The same files give the same bytes.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder)
            if path.is_dir() or (path.is_file() and path.suffix != ".crt"):
                _add(tar, str(inside), path)
        for path in sorted(certs.glob("*.crt")) if certs and certs.is_dir() else []:
            _add(tar, f"certs/{path.name}", path)
    buffer.seek(0)
    return buffer


def _add(tar: tarfile.TarFile, name: str, path: Path) -> None:
    """A file or a folder, with the modes that git keeps."""
    info = tarfile.TarInfo(name)
    if path.is_dir():
        info.type, info.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(info)
        return
    info.size = path.stat().st_size
    info.mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
    with path.open("rb") as file:
        tar.addfile(info, file)
