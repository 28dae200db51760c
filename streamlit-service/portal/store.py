"""All SQL. Short transactions on SQLite (WAL) or PostgreSQL; rows become models here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy import event
from sqlalchemy.engine import Connection, Row

from portal import lifecycle, rows
from portal.errors import LockLost
from portal.models import Deployment, Release, ReleaseState, State, User, Vm, VmState
from portal.placement import Load
from portal.schema import deployments, leases, releases, users, vms

Tx = Connection
"""An open transaction. Never held across a network call (invariant 5)."""

BUSY_TIMEOUT_S = 15
T = TypeVar("T")


class Store:
    """The records. Thread-safe; each transaction takes its own connection."""

    def __init__(self, url: str) -> None:
        self._engine = sa.create_engine(url, pool_pre_ping=not url.startswith("sqlite"), **_options(url))
        if self._engine.dialect.name == "sqlite":
            _prepare_sqlite(self._engine)

    def migrate(self) -> None:
        """Bring the database to the newest schema; a no-op when it is."""
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with self._engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    @contextmanager
    def transaction(self) -> Iterator[Tx]:
        """A writing transaction: all or nothing, serialised with other writers."""
        with self._engine.connect() as connection:
            if self._engine.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")  # take the write lock now, not half way
            with connection.begin() if not connection.in_transaction() else connection.get_transaction():  # type: ignore[union-attr]
                yield connection

    @contextmanager
    def reading(self) -> Iterator[Tx]:
        """A consistent read that never waits for a writer."""
        with self._engine.connect() as connection:
            yield connection

    def close(self) -> None:
        """Give back all connections."""
        self._engine.dispose()


def _options(url: str) -> dict[str, Any]:
    if url.startswith("sqlite"):
        return {"connect_args": {"timeout": BUSY_TIMEOUT_S, "check_same_thread": False}, "pool_size": 40}
    return {"pool_size": 20, "pool_timeout": 10, "connect_args": {"connect_timeout": 5}}


def _prepare_sqlite(engine: sa.Engine) -> None:
    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        for pragma in ("journal_mode=WAL", "foreign_keys=ON", "synchronous=FULL"):
            connection.execute(f"PRAGMA {pragma}")


# --- users ---------------------------------------------------------------------------------


def user_by_subject(tx: Tx, subject: str) -> User | None:
    """The user with this subject key."""
    return _one(tx, sa.select(users).where(users.c.subject == subject), rows.user)


def all_users(tx: Tx) -> list[User]:
    """Every user, in order of first sight."""
    return [rows.user(row) for row in tx.execute(sa.select(users).order_by(users.c.id))]


def insert_user(tx: Tx, subject: str, display_name: str, role: str, now: datetime) -> User:
    """Create the user with the next port range. Call within a writing transaction."""
    highest = tx.execute(sa.select(sa.func.max(users.c.range_index))).scalar()
    index = 0 if highest is None else highest + 1
    tx.execute(users.insert().values(subject=subject, display_name=display_name, role=role,
                                     range_index=index, created_at=now))  # fmt: skip
    user = user_by_subject(tx, subject)
    assert user is not None
    return user


# --- VMs -----------------------------------------------------------------------------------


def all_vms(tx: Tx) -> list[Vm]:
    """Every VM, by name."""
    return [rows.vm(row) for row in tx.execute(sa.select(vms).order_by(vms.c.name))]


def vm_by_name(tx: Tx, name: str) -> Vm | None:
    """The VM with this name."""
    return _one(tx, sa.select(vms).where(vms.c.name == name), rows.vm)


def insert_vm(tx: Tx, name: str, engine_url: str, address: str, owner_id: int | None) -> None:
    """Add a VM, thought reachable until the first probe says otherwise."""
    tx.execute(vms.insert().values(name=name, engine_url=engine_url, address=address, owner_id=owner_id,
                                   state=VmState.ACTIVE, reachable=True))  # fmt: skip


def update_vm(tx: Tx, vm_id: int, **values: Any) -> None:
    """Change columns of a VM."""
    tx.execute(vms.update().where(vms.c.id == vm_id).values(**values))


def loads(tx: Tx) -> dict[int, Load]:
    """What live deployments hold, by VM id."""
    query = (
        sa.select(deployments.c.vm_id, sa.func.sum(deployments.c.memory_gb), sa.func.count())
        .where(deployments.c.state.in_(lifecycle.ACTIVE))
        .group_by(deployments.c.vm_id)
    )
    return {vm_id: Load(memory, count) for vm_id, memory, count in tx.execute(query)}


# --- releases ------------------------------------------------------------------------------


def approved_releases(tx: Tx) -> dict[str, Release]:
    """The newest approved release of each image, by image name."""
    query = sa.select(releases).where(releases.c.state == ReleaseState.APPROVED).order_by(releases.c.id)
    return {row.image: rows.release(row) for row in tx.execute(query)}


def release_by_reference(tx: Tx, reference: str) -> Release | None:
    """The release with this name@digest."""
    return _one(tx, sa.select(releases).where(releases.c.reference == reference), rows.release)


def insert_release(tx: Tx, **values: Any) -> None:
    """Add a release."""
    tx.execute(releases.insert().values(**values))


def touch_release(tx: Tx, release_id: int, state: ReleaseState) -> None:
    """Set the state of a release."""
    tx.execute(releases.update().where(releases.c.id == release_id).values(state=state))


# --- deployments and leases ----------------------------------------------------------------

_SELECT = rows.deployment_select()


def deployment(tx: Tx, deployment_id: str) -> Deployment | None:
    """One deployment."""
    return _one(tx, _SELECT.where(deployments.c.id == deployment_id), rows.deployment)


def deployments_of(tx: Tx, owner_id: int) -> list[Deployment]:
    """A user's deployments that are not removed, newest first."""
    query = _SELECT.where(deployments.c.owner_id == owner_id, deployments.c.state != State.REMOVED)
    return [rows.deployment(row) for row in tx.execute(query.order_by(deployments.c.created_at.desc()))]


def deployments_on(tx: Tx, vm_id: int) -> list[Deployment]:
    """Deployments on a VM that are not removed."""
    query = _SELECT.where(deployments.c.vm_id == vm_id, deployments.c.state != State.REMOVED)
    return [rows.deployment(row) for row in tx.execute(query)]


def deployment_at_port(tx: Tx, port: int) -> Deployment | None:
    """Who holds a port now."""
    query = _SELECT.join(leases, leases.c.deployment_id == deployments.c.id).where(
        leases.c.kind == "port", leases.c.resource == str(port), leases.c.released_at.is_(None)
    )
    return _one(tx, query, rows.deployment)


def workable(tx: Tx, now: datetime) -> list[tuple[str, int]]:
    """(deployment id, VM id) of what needs the worker and nobody holds, oldest first."""
    query = (
        sa.select(deployments.c.id, deployments.c.vm_id)
        .where(deployments.c.state.in_(lifecycle.WORK), _unlocked(now))
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
    query = deployments.update().where(deployments.c.id == deployment_id, deployments.c.lock_token == token)
    if tx.execute(query.values(**values)).rowcount != 1:
        raise LockLost(deployment_id)


def held_slots(tx: Tx, owner_id: int) -> set[int]:
    """Slots of a user's range whose ports are leased."""
    query = (
        sa.select(deployments.c.slot)
        .join(leases, leases.c.deployment_id == deployments.c.id)
        .where(deployments.c.owner_id == owner_id, leases.c.kind == "port", leases.c.released_at.is_(None))
    )
    return {slot for (slot,) in tx.execute(query) if slot is not None}


def lease(tx: Tx, kind: str, resources: Sequence[str], deployment_id: str, now: datetime) -> None:
    """Lease resources. sqlalchemy IntegrityError when one is held: the transaction must end."""
    for resource in resources:
        tx.execute(leases.insert().values(kind=kind, resource=resource, deployment_id=deployment_id,
                                          acquired_at=now))  # fmt: skip


def release_leases(tx: Tx, deployment_id: str, now: datetime) -> None:
    """Give back everything a deployment holds."""
    query = leases.update().where(leases.c.deployment_id == deployment_id, leases.c.released_at.is_(None))
    tx.execute(query.values(released_at=now))


def live_leases(tx: Tx) -> list[Mapping[str, Any]]:
    """Every lease that is held now."""
    return [dict(row._mapping) for row in tx.execute(sa.select(leases).where(leases.c.released_at.is_(None)))]


def _unlocked(now: datetime) -> sa.ColumnElement[bool]:
    return sa.or_(deployments.c.lock_token.is_(None), deployments.c.lock_expires_at < now)


def _one(tx: Tx, query: sa.Select[Any], make: Callable[[Row[Any]], T]) -> T | None:
    row: Row[Any] | None = tx.execute(query).first()
    return make(row) if row is not None else None
