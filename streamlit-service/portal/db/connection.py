"""The database: SQLite (WAL) or PostgreSQL, short transactions, migrations."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.engine import Connection, Row, make_url
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from portal.core.errors import DatabaseTrouble
from portal.db import sqlite, troubles
from portal.db.schema import audit_events, audit_head

Tx = Connection
"""An open transaction. Never held across a network call (invariant 5)."""


DEADLINES = {
    "connect_timeout": 5,
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
}
"""A PostgreSQL that vanished without a word is noticed in some 15 s (libpq's connection parameters;
seconds, but for tcp_user_timeout: milliseconds)."""

POSTGRESQL_PORT = 5432
T = TypeVar("T")


DatabaseError = SQLAlchemyError
"""Whatever the database itself fails with."""
NAME_INDEX = "one_live_name_per_owner"
SIGNS = {NAME_INDEX: (NAME_INDEX, "deployments.owner_id, deployments.name")}
"""How PostgreSQL and SQLite name an index in their errors."""
UNIQUE_VIOLATION = "23505"
"""PostgreSQL's SQLSTATE (appendix A of its manual)."""
UNIQUE_VIOLATION_SQLITE = "UNIQUE constraint failed"


class Taken(Exception):
    """A unique index refused a row: somebody else was faster. `index`: which, "" if unknown."""

    def __init__(self, index: str, cause: str) -> None:
        super().__init__(cause)
        self.index = index


class Database:
    """The records. Thread-safe; each transaction takes its own connection."""

    def __init__(self, url: str, password: str | None = None) -> None:
        """`password` goes into the URL, which then holds none where it is written down."""
        address = make_url(url) if password is None else make_url(url).set(password=password)
        self._engine = sa.create_engine(
            address,
            pool_pre_ping=not url.startswith("sqlite"),
            hide_parameters=True,  # an error names the statement, never a token or a key in it
            **_options(url),
        )
        self._alone = threading.Lock()
        self._kept: Connection | None = None
        self._turns = sqlite.Turns()
        self._is_sqlite = self._engine.dialect.name == "sqlite"
        if self._is_sqlite:
            sqlite.prepare(self._engine)

    def fenced(self, check: Callable[[Tx], None]) -> Database:
        """The same records, each of whose transactions begins with `check`, which may raise."""
        return _Fenced(self, check)

    def migrate(self, revision: str = "head") -> None:
        """Bring the database to the newest schema (or up to one before it); a no-op when it is."""
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with (
            _in_words(),
            self._engine.connect() as connection,
            sqlite.foreign_keys_off(connection),
            sqlite.immediate(connection).begin(),
        ):
            config.attributes["connection"] = connection
            command.upgrade(config, revision)

    def has_records(self) -> bool:
        """Whether anything ever happened here: an empty or missing schema has no audit event."""
        with _in_words(), self._engine.connect() as connection:
            if not sa.inspect(connection).has_table(audit_events.name):
                return False
            return connection.execute(sa.select(audit_events.c.seq).limit(1)).first() is not None

    def erase(self) -> None:
        """Drop every table. There is no way back."""
        with self.transaction() as tx:
            present = sa.MetaData()
            present.reflect(tx)
            present.drop_all(tx)

    @contextmanager
    def transaction(self) -> Iterator[Tx]:
        """A writing transaction: all or nothing, serialised with other writers.

        Raises Taken when a unique index refuses a row, DatabaseTrouble when it cannot be written.
        """
        with (
            _in_words(),
            self._turn() as until,
            self._engine.connect() as connection,
            sqlite.immediate(connection, until).begin(),
        ):
            self._check(connection)
            try:
                yield connection
            except IntegrityError as error:
                raise _taken(error) from error

    def _check(self, tx: Tx) -> None:
        """Nothing is to be asked before a transaction."""

    def _turn(self) -> AbstractContextManager[float | None]:
        """PostgreSQL puts its writers in order itself."""
        return sqlite.writing(self._turns) if self._is_sqlite else nullcontext()

    @contextmanager
    def reading(self) -> Iterator[Tx]:
        """A read of one moment, however many queries; it never waits for a writer.

        Raises DatabaseTrouble when the database does not answer.
        """
        with _in_words(), self._engine.connect() as connection:
            if not self._is_sqlite:
                connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection

    def first(self, query: sa.Select[Any], parameters: dict[str, str]) -> Row[Any] | None:
        """The first row of one query alone, as cheap as it gets: what nginx waits for.

        On a connection kept for it, with no transaction around; once more when the server closed
        it meanwhile. Raises DatabaseTrouble when the database does not answer.
        """
        with self._alone:
            was_open = self._kept is not None
            try:
                return self._ask_alone(query, parameters)
            except DatabaseTrouble:
                if not was_open:
                    raise
                return self._ask_alone(query, parameters)

    def _ask_alone(self, query: sa.Select[Any], parameters: dict[str, str]) -> Row[Any] | None:
        with _in_words():
            if self._kept is None:
                options = {"isolation_level": "AUTOCOMMIT", sqlite.BEGIN: None}
                self._kept = self._engine.connect().execution_options(**options)
            try:
                return self._kept.execute(query, parameters).first()
            except SQLAlchemyError:
                broken, self._kept = self._kept, None
                broken.invalidate()
                broken.close()
                raise

    def close(self) -> None:
        """Give back all connections."""
        if self._kept is not None:
            self._kept.close()
        self._engine.dispose()


class _Fenced(Database):
    """With the connections of another, and a question before each transaction."""

    def __init__(self, records: Database, check: Callable[[Tx], None]) -> None:
        vars(self).update(vars(records))
        self._kept, self._alone, self._ask = None, threading.Lock(), check

    def _check(self, tx: Tx) -> None:
        self._ask(tx)


@contextmanager
def _in_words() -> Iterator[None]:
    """Troubles of the database as DatabaseTrouble."""
    try:
        yield
    except SQLAlchemyError as error:
        known = troubles.trouble(error)
        if known is None:
            raise
        raise known from error


def _taken(error: IntegrityError) -> Exception:
    cause, sqlstate = str(error.orig), getattr(error.orig, "sqlstate", "")
    if sqlstate != UNIQUE_VIOLATION and not cause.startswith(UNIQUE_VIOLATION_SQLITE):
        return error
    indexes = [name for name, signs in SIGNS.items() if any(sign in cause for sign in signs)]
    return Taken(indexes[0] if indexes else "", cause)


def _options(url: str) -> dict[str, Any]:
    if url.startswith("sqlite"):
        return sqlite.options()
    return {"pool_size": 20, "pool_timeout": 10, "connect_args": DEADLINES}


def addresses(url: str) -> list[tuple[str, int]]:
    """Where a database is asked for: (host, port), several where one follows the other."""
    address = make_url(url)
    named = address.query.get("host", address.host or "")
    found = [named] if isinstance(named, str) else named
    split = [each.rpartition(":") if ":" in each else (each, "", "") for each in found if each]
    return [(host, int(port or address.port or POSTGRESQL_PORT)) for host, _, port in split]


def clock(tx: Tx, here: datetime) -> datetime:
    """What time it is for all who share these records; on one machine, `here`."""
    if tx.dialect.name == "sqlite":
        return here
    now: datetime = tx.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
    return now


def ping(tx: Tx) -> None:
    """Raise unless the database answers."""
    tx.execute(sa.select(1))


def serialize_writers(tx: Tx) -> None:
    """Wait for other writers before reading: what is read from here on stays true until the commit.

    SQLite has one writer at a time anyway; elsewhere the head of the audit trail is the lock, which
    every audited change takes sooner or later.
    """
    tx.execute(sa.select(audit_head.c.id).with_for_update())


def one_or_none(tx: Tx, query: sa.Select[Any], make: Callable[[Row[Any]], T]) -> T | None:
    """The first row as a model, or None."""
    row: Row[Any] | None = tx.execute(query).first()
    return make(row) if row is not None else None
