"""SQLite as the portal uses it: a write-ahead log, and writers one after the other, in order."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError

from portal.db import troubles

BUSY_TIMEOUT_S = 10
"""A claim lasts longer (lock_ttl_s): who waits for the database does not lose it."""
POLL_S = 0.03
"""SQLite sleeps 1, 2, 5, 10 and 12 ms in that time, and looks again after each. Left alone it
sleeps 100 ms between looks, and a process that waits so finds the others quicker every time."""

BEGIN = "sqlite_begin"
"""The option of a connection that says how its transactions begin; None: not at all."""
_UNTIL = "sqlite_until"


class Turns:
    """One at a time, in the order of asking: what threading.Lock does not promise."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._taken = False
        self._queue: deque[threading.Event] = deque()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._queue)

    @contextmanager
    def taken(self, timeout: float) -> Iterator[None]:
        """Wait for the turn and hold it. Raises TimeoutError after `timeout` seconds."""
        with self._guard:
            mine = threading.Event()
            if self._taken:
                self._queue.append(mine)
            else:
                self._taken = True
                mine.set()
        try:
            came = mine.wait(timeout)
        except BaseException:  # an interrupted command: whoever comes next does not wait for it
            if not self._left(mine):
                self._pass_on()
            raise
        if not came and self._left(mine):
            raise TimeoutError
        try:
            yield
        finally:
            self._pass_on()

    def _left(self, mine: threading.Event) -> bool:
        """Leave the queue; False where the turn came at the last moment."""
        with self._guard:
            if mine.is_set():
                return False
            self._queue.remove(mine)
            return True

    def _pass_on(self) -> None:
        with self._guard:
            if self._queue:
                self._queue.popleft().set()
            else:
                self._taken = False


def options() -> dict[str, Any]:
    """How an engine is made."""
    return {
        "connect_args": {"timeout": BUSY_TIMEOUT_S, "check_same_thread": False},
        "pool_size": 40,
    }


def prepare(engine: sa.Engine) -> None:
    """Leave BEGIN to SQLAlchemy instead of the driver ("Serializable isolation" in its docs)."""

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "foreign_keys=ON", "synchronous=FULL"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # DEFERRED takes its snapshot with the first query.
        mode = connection.get_execution_options().get(BEGIN, "DEFERRED")
        if mode == "IMMEDIATE":
            _begin_immediate(connection)
        elif mode is not None:
            connection.exec_driver_sql(f"BEGIN {mode}")


def _begin_immediate(connection: Connection) -> None:
    """Take the lock that one writer of all processes has at a time, soon after it is free."""
    until = connection.get_execution_options()[_UNTIL]
    _let_sqlite_wait(connection, POLL_S)
    try:
        while not _begun(connection, last=time.monotonic() > until):
            pass
    finally:
        _let_sqlite_wait(connection, BUSY_TIMEOUT_S)


def _begun(connection: Connection, *, last: bool) -> bool:
    """Whether the lock was free within POLL_S; after the last try the error is raised instead."""
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    except OperationalError as error:
        if last or not troubles.is_locked(error):
            raise
        return False
    return True


def _let_sqlite_wait(connection: Connection, seconds: float) -> None:
    connection.exec_driver_sql(f"PRAGMA busy_timeout = {round(seconds * 1000)}")


@contextmanager
def writing(turns: Turns) -> Iterator[float]:
    """Hold the turn among this process's writers; gives the moment to wait until for the others'.

    Raises DatabaseTrouble when the turn does not come.
    """
    until = time.monotonic() + BUSY_TIMEOUT_S
    with ExitStack() as held:
        try:
            held.enter_context(turns.taken(BUSY_TIMEOUT_S))
        except TimeoutError as error:
            raise troubles.busy("other writers did not finish") from error
        yield until


def immediate(connection: Connection, until: float | None = None) -> Connection:
    """Let the next transaction take SQLite's write lock at its start, not half way.

    `until` (time.monotonic): how long to wait for it, BUSY_TIMEOUT_S from now if not said.
    """
    until = time.monotonic() + BUSY_TIMEOUT_S if until is None else until
    return connection.execution_options(**{BEGIN: "IMMEDIATE", _UNTIL: until})


@contextmanager
def foreign_keys_off(connection: Connection) -> Iterator[None]:
    """SQLite changes tables by copying them; this can only be switched outside of BEGIN."""
    if connection.dialect.name != "sqlite":
        yield
        return
    cursor = connection.connection.cursor()
    cursor.execute("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        cursor.execute("PRAGMA foreign_keys=ON")
