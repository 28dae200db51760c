"""All SQL. Short transactions on SQLite (WAL) or PostgreSQL; rows become models here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy import event
from sqlalchemy.engine import Connection, Row

from portal.core.errors import LockLost
from portal.core.models import Deployment, State, User, Vm, VmState
from portal.db import rows
from portal.db.schema import (
    audit_events,
    audit_head,
    deployments,
    gpus,
    leases,
    users,
    vm_images,
    vms,
)

Tx = Connection
"""An open transaction. Never held across a network call (invariant 5)."""

BUSY_TIMEOUT_S = 15
T = TypeVar("T")


class Store:
    """The records. Thread-safe; each transaction takes its own connection."""

    def __init__(self, url: str) -> None:
        self._engine = sa.create_engine(
            url, pool_pre_ping=not url.startswith("sqlite"), **_options(url)
        )
        if self._engine.dialect.name == "sqlite":
            _prepare_sqlite(self._engine)

    def migrate(self, revision: str = "head") -> None:
        """Bring the database to the newest schema (or up to one before it); a no-op when it is."""
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with (
            self._engine.connect() as connection,
            _foreign_keys_off(connection),
            _immediate(connection).begin(),
        ):
            config.attributes["connection"] = connection
            command.upgrade(config, revision)

    def has_records(self) -> bool:
        """Whether anything ever happened here: an empty or missing schema has no audit event."""
        with self._engine.connect() as connection:
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
        """A writing transaction: all or nothing, serialised with other writers."""
        with self._engine.connect() as connection, _immediate(connection).begin():
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Tx]:
        """A read of one moment, however many queries; it never waits for a writer."""
        with self._engine.connect() as connection:
            if self._engine.dialect.name != "sqlite":
                connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection

    def close(self) -> None:
        """Give back all connections."""
        self._engine.dispose()


def _options(url: str) -> dict[str, Any]:
    if url.startswith("sqlite"):
        return {
            "connect_args": {"timeout": BUSY_TIMEOUT_S, "check_same_thread": False},
            "pool_size": 40,
        }
    return {"pool_size": 20, "pool_timeout": 10, "connect_args": {"connect_timeout": 5}}


def _prepare_sqlite(engine: sa.Engine) -> None:
    """Leave BEGIN to SQLAlchemy instead of the driver ("Serializable isolation" in its docs)."""

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "foreign_keys=ON", "synchronous=FULL"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # DEFERRED takes its snapshot with the first query.
        mode = connection.get_execution_options().get(_SQLITE_BEGIN, "DEFERRED")
        connection.exec_driver_sql(f"BEGIN {mode}")


_SQLITE_BEGIN = "sqlite_begin"


def _immediate(connection: Connection) -> Connection:
    """Let the next transaction take SQLite's write lock at its start, not half way."""
    return connection.execution_options(**{_SQLITE_BEGIN: "IMMEDIATE"})


@contextmanager
def _foreign_keys_off(connection: Connection) -> Iterator[None]:
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


def ping(tx: Tx) -> None:
    """Raise unless the database answers."""
    tx.execute(sa.select(1))


def in_order(tx: Tx) -> None:
    """Wait for other writers before reading: what is read from here on stays true until the commit.

    SQLite has one writer at a time anyway; elsewhere the head of the audit trail is the lock, which
    every audited change takes sooner or later.
    """
    tx.execute(sa.select(audit_head.c.id).with_for_update())


# --- users ---------------------------------------------------------------------------------


def user_by_subject(tx: Tx, subject: str) -> User | None:
    """The user with this subject key."""
    return _one(tx, sa.select(users).where(users.c.subject == subject), rows.user)


def update_user(tx: Tx, user_id: int, **values: Any) -> None:
    """Change columns of a user."""
    tx.execute(users.update().where(users.c.id == user_id).values(**values))


def all_users(tx: Tx) -> list[User]:
    """Every user, in order of first sight."""
    return [rows.user(row) for row in tx.execute(sa.select(users).order_by(users.c.id))]


def insert_user(tx: Tx, subject: str, display_name: str, role: str, now: datetime) -> User:
    """Create the user with the next port range. Call within a writing transaction."""
    highest = tx.execute(sa.select(sa.func.max(users.c.range_index))).scalar()
    index = 0 if highest is None else highest + 1
    tx.execute(
        users.insert().values(
            subject=subject, display_name=display_name, role=role, range_index=index, created_at=now
        )
    )
    user = user_by_subject(tx, subject)
    assert user is not None
    return user


# --- VMs -----------------------------------------------------------------------------------


_IN_FLEET = vms.c.state != VmState.REMOVED


def all_vms(tx: Tx) -> list[Vm]:
    """Every VM of the fleet, by name."""
    return [
        rows.vm(row) for row in tx.execute(sa.select(vms).where(_IN_FLEET).order_by(vms.c.name))
    ]


def vm_by_name(tx: Tx, name: str) -> Vm | None:
    """The VM of the fleet with this name."""
    return _one(tx, sa.select(vms).where(vms.c.name == name, _IN_FLEET), rows.vm)


def insert_vm(
    tx: Tx,
    name: str,
    engine_url: str,
    address: str,
    owner_id: int | None,
    pool: str,
    state: VmState,
) -> None:
    """Add a VM, thought reachable until the first probe says otherwise.

    One that was removed comes back.
    """
    values = {
        "engine_url": engine_url,
        "address": address,
        "owner_id": owner_id,
        "pool": pool,
        "state": state,
        "reachable": True,
        "error": None,
    }
    if tx.execute(vms.update().where(vms.c.name == name).values(**values)).rowcount == 0:
        tx.execute(vms.insert().values(name=name, **values))


def remove_vm(tx: Tx, vm_id: int) -> None:
    """Take a VM out of the fleet; its row stays for the history of what ran there."""
    tx.execute(gpus.delete().where(gpus.c.vm_id == vm_id))
    tx.execute(vm_images.delete().where(vm_images.c.vm_id == vm_id))
    update_vm(tx, vm_id, state=VmState.REMOVED)


def update_vm(tx: Tx, vm_id: int, **values: Any) -> None:
    """Change columns of a VM."""
    tx.execute(vms.update().where(vms.c.id == vm_id).values(**values))


# --- deployments ---------------------------------------------------------------------------

_SELECT = rows.deployment_select()


def deployment(tx: Tx, deployment_id: str) -> Deployment | None:
    """One deployment."""
    return _one(tx, _SELECT.where(deployments.c.id == deployment_id), rows.deployment)


def deployments_of(tx: Tx, owner_id: int) -> list[Deployment]:
    """A user's deployments that are not removed, newest first."""
    query = _SELECT.where(deployments.c.owner_id == owner_id, deployments.c.state != State.REMOVED)
    return [
        rows.deployment(row) for row in tx.execute(query.order_by(deployments.c.created_at.desc()))
    ]


def deployments_on(tx: Tx, vm_id: int) -> list[Deployment]:
    """Deployments on a VM that are not removed."""
    query = _SELECT.where(deployments.c.vm_id == vm_id, deployments.c.state != State.REMOVED)
    return [rows.deployment(row) for row in tx.execute(query)]


def deployments_of_release(tx: Tx, release_id: int) -> list[Deployment]:
    """Deployments of a release that are not removed, oldest first."""
    query = _SELECT.where(
        deployments.c.release_id == release_id, deployments.c.state != State.REMOVED
    )
    return [rows.deployment(row) for row in tx.execute(query.order_by(deployments.c.created_at))]


def deployment_at_port(tx: Tx, port: int) -> Deployment | None:
    """Who holds a port now."""
    query = _SELECT.join(leases, leases.c.deployment_id == deployments.c.id).where(
        leases.c.kind == "port", leases.c.resource == str(port), leases.c.released_at.is_(None)
    )
    return _one(tx, query, rows.deployment)


def waiting(tx: Tx) -> list[Deployment]:
    """The line, from its head."""
    query = _SELECT.where(deployments.c.state == State.WAITING)
    return [
        rows.deployment(row)
        for row in tx.execute(query.order_by(deployments.c.waiting_since, deployments.c.id))
    ]


def live_deployments(tx: Tx) -> list[Deployment]:
    """Everybody's deployments that hold something of a VM now, oldest first."""
    holds = sa.exists().where(
        leases.c.deployment_id == deployments.c.id,
        leases.c.kind == "compute",
        leases.c.released_at.is_(None),
    )
    return [
        rows.deployment(row)
        for row in tx.execute(_SELECT.where(holds).order_by(deployments.c.created_at))
    ]


def homes(tx: Tx, owner_ids: Collection[int]) -> dict[int, frozenset[int]]:
    """VM ids on which users' containers have run, by user id: their home folders are there."""
    query = sa.select(deployments.c.owner_id, deployments.c.vm_id).where(
        deployments.c.owner_id.in_(owner_ids), deployments.c.started_at.is_not(None)
    )
    found: dict[int, set[int]] = {}
    for owner_id, vm_id in tx.execute(query.distinct()):
        found.setdefault(owner_id, set()).add(vm_id)
    return {owner_id: frozenset(vm_ids) for owner_id, vm_ids in found.items()}


def workable(tx: Tx, states: Collection[State], now: datetime) -> list[tuple[str, int]]:
    """(deployment id, VM id) of what is in one of these states and nobody holds, oldest first."""
    query = (
        sa.select(deployments.c.id, deployments.c.vm_id)
        .where(
            deployments.c.state.in_(states),
            deployments.c.vm_id.is_not(None),
            _unlocked(now),
        )
        .order_by(deployments.c.updated_at)
    )
    return [(row.id, row.vm_id) for row in tx.execute(query)]


def insert_deployment(tx: Tx, **values: Any) -> None:
    """Add a deployment row."""
    tx.execute(deployments.insert().values(**values))


def update_deployment(tx: Tx, deployment_id: str, **values: Any) -> None:
    """Change columns of a deployment, whoever works on it."""
    tx.execute(deployments.update().where(deployments.c.id == deployment_id).values(**values))


def claim(tx: Tx, deployment_id: str, token: str, now: datetime, expires_at: datetime) -> bool:
    """Take the deployment for work; False when somebody else has it."""
    query = deployments.update().where(deployments.c.id == deployment_id, _unlocked(now))
    return tx.execute(query.values(lock_token=token, lock_expires_at=expires_at)).rowcount == 1


def update_claimed(tx: Tx, deployment_id: str, token: str, **values: Any) -> None:
    """Change columns only while the token holds. Raises LockLost when it does not."""
    query = deployments.update().where(
        deployments.c.id == deployment_id, deployments.c.lock_token == token
    )
    if tx.execute(query.values(**values)).rowcount != 1:
        raise LockLost(deployment_id)


def _unlocked(now: datetime) -> sa.ColumnElement[bool]:
    return sa.or_(deployments.c.lock_token.is_(None), deployments.c.lock_expires_at < now)


def _one(tx: Tx, query: sa.Select[Any], make: Callable[[Row[Any]], T]) -> T | None:
    row: Row[Any] | None = tx.execute(query).first()
    return make(row) if row is not None else None
