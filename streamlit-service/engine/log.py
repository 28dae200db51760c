"""Lines of a container's log, as Docker Engine gives them with time stamps."""

from __future__ import annotations

from collections.abc import Sequence


def stamp_of(line: bytes) -> str:
    """When the engine got it (RFC 3339, to the nanosecond); the same words sort by time."""
    return line.split(b" ", 1)[0].decode(errors="replace").strip()


def after(lines: Sequence[bytes], stamp: str) -> list[bytes]:
    """What came after the line of this stamp.

    By its place, since a VM's clock may be set back; by times where that line is gone (a log is cut
    at its size), and everything where times do not tell either.
    """
    for place in range(len(lines) - 1, -1, -1):
        if stamp_of(lines[place]) == stamp:
            return list(lines[place + 1 :])
    return [line for line in lines if stamp_of(line) > stamp] or list(lines)
