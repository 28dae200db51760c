"""What a database fails with, as people can understand it: busy, full, away or damaged."""

from __future__ import annotations

import sqlite3

import sqlalchemy as sa

from portal.core.errors import DatabaseTrouble

_BUSY, _FULL, _READ_ONLY, _AWAY, _DAMAGED = "busy", "full", "read_only", "away", "damaged"
_STATES = {
    "53100": _FULL,
    "53": _BUSY,  # out of memory, of connections
    "25006": _READ_ONLY,
    "55P03": _BUSY,
    "40001": _BUSY,
    "40P01": _BUSY,
    "57014": _BUSY,  # a statement that took too long
    "08": _AWAY,  # the connection
    "57P": _AWAY,  # shut down, crashed, not up yet
    "58": _AWAY,  # its disk
    "XX001": _DAMAGED,
    "XX002": _DAMAGED,
}
"""PostgreSQL's SQLSTATE (appendix A of its manual), or how it begins; the first counts."""
_WORDS = {
    "is locked": _BUSY,
    "disk is full": _FULL,
    "readonly database": _READ_ONLY,
    "unable to open": _AWAY,
    "disk i/o error": _AWAY,
    "out of memory": _BUSY,
    "locking protocol": _BUSY,
    "malformed": _DAMAGED,
    "file is not a database": _DAMAGED,
}
"""SQLite's words (sqlite.org/rescode.html)."""
SAY = {
    _BUSY: (
        "The portal's database is busy.",
        "Nothing was changed. Try again in a minute.",
    ),
    _FULL: (
        "The disk of the portal's database is full.",
        "Nothing was changed. Containers keep running; an administrator must free up space.",
    ),
    _READ_ONLY: (
        "The portal's database is read-only.",
        "Nothing was changed. Containers keep running; an administrator must make it writable.",
    ),
    _AWAY: (
        "The portal's database does not answer.",
        "Containers keep running. Check whether your change was made; try again in a minute.",
    ),
    _DAMAGED: (
        "The portal's database is damaged.",
        "Containers keep running. An administrator must restore the backup: admin.py restore",
    ),
}


_DATABASES_OWN = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.InternalError)
"""What is not the statement's fault (PEP 249)."""


def trouble(error: sa.exc.SQLAlchemyError) -> DatabaseTrouble | None:
    """The trouble behind an error; None for one that is the portal's own mistake."""
    kind = _kind(error)
    if kind is None:
        return None
    cause = next(iter(str(getattr(error, "orig", None) or error).strip().splitlines()), "")
    return _in_words(kind, cause)


def busy(cause: str) -> DatabaseTrouble:
    """The trouble of somebody whose turn never came."""
    return _in_words(_BUSY, cause)


def is_locked(error: sa.exc.SQLAlchemyError) -> bool:
    """Whether another writer holds SQLite's lock: waiting for it helps."""
    return isinstance(error, sa.exc.DBAPIError) and "is locked" in str(error.orig).lower()


def _in_words(kind: str, cause: str) -> DatabaseTrouble:
    message, hint = SAY[kind]
    return DatabaseTrouble(f"database_{kind}", message, hint, cause)


def _kind(error: sa.exc.SQLAlchemyError) -> str | None:
    if isinstance(error, sa.exc.TimeoutError):  # no connection of the pool became free
        return _BUSY
    # SQLite's are plain DatabaseErrors where a file is damaged.
    if not isinstance(error, _DATABASES_OWN) and type(error) is not sa.exc.DatabaseError:
        return None
    state = getattr(error.orig, "sqlstate", None)
    if isinstance(error.orig, sqlite3.Error):
        return _by_words(str(error.orig).lower())
    if state is None:  # PostgreSQL never answered
        return _AWAY
    return next((kind for begin, kind in _STATES.items() if state.startswith(begin)), None)


def _by_words(words: str) -> str | None:
    return next((kind for sign, kind in _WORDS.items() if sign in words), None)
