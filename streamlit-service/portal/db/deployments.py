"""Rows of deployments, and the claim that a worker holds on one."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from datetime import datetime, timedelta
from typing import Any, Unpack

import sqlalchemy as sa

from portal.core.errors import LockLost
from portal.core.models import Deployment, State
from portal.db import rows
from portal.db.columns import DeploymentColumns
from portal.db.connection import Tx, one_or_none
from portal.db.leases import HELD
from portal.db.schema import deployments, leases, releases, vms

LONGEST_CLAIM = timedelta(minutes=1)
LAST_STARTS = 20
"""Of a release, to tell how long the next takes."""
_SELECT = rows.deployment_select()


def by_id(tx: Tx, deployment_id: str) -> Deployment | None:
    """The deployment with its owner, VM and release; None when there is none."""
    return one_or_none(tx, _SELECT.where(deployments.c.id == deployment_id), rows.deployment)


def by_ids(tx: Tx, deployment_ids: Collection[str]) -> dict[str, Deployment]:
    """Those of these that there are, by id."""
    found = tx.execute(_SELECT.where(deployments.c.id.in_(deployment_ids)))
    return {each.id: each for each in map(rows.deployment, found)}


def of_user(tx: Tx, owner_id: int) -> list[Deployment]:
    """A user's deployments that are not removed, newest first."""
    query = _SELECT.where(deployments.c.owner_id == owner_id, deployments.c.state != State.REMOVED)
    return [
        rows.deployment(row) for row in tx.execute(query.order_by(deployments.c.created_at.desc()))
    ]


def stamps(tx: Tx, owner_ids: Collection[int]) -> dict[int, Hashable]:
    """By owner, what differs when a row of theirs, its VM or its release changed."""
    table = deployments.c
    query = (
        sa.select(
            table.owner_id,
            table.id,
            table.updated_at,
            table.state,
            sa.cast(table.progress, sa.Text),
            sa.cast(table.trouble, sa.Text),
            table.position,
            table.waits_for,
            table.impossible_since,
            table.stop_note,
            vms.c.reachable,
            vms.c.drain_by,
            vms.c.drain_reason,
            releases.c.state.label("release_state"),
        )
        .outerjoin(vms, vms.c.id == table.vm_id)
        .join(releases, releases.c.id == table.release_id)
        .where(table.owner_id.in_(owner_ids), table.state != State.REMOVED)
        .order_by(table.id)
    )
    found: dict[int, list[tuple[Any, ...]]] = {owner: [] for owner in owner_ids}
    for row in tx.execute(query):
        found[row.owner_id].append(tuple(row))
    return {owner: hash(tuple(rows)) for owner, rows in found.items()}


def stamp_of_all(tx: Tx) -> Hashable:
    """What differs when something came, went, or is in another state."""
    table = deployments.c
    seen = sa.select(sa.func.count(), sa.func.max(table.updated_at), sa.func.count(table.trouble))
    return tuple(tx.execute(seen.where(table.state != State.REMOVED)).one())


def last_starts_s(tx: Tx, release_id: int) -> list[float]:
    """How long the last starts of a release took, from the order or a place in the queue on."""
    table = deployments.c
    query = (
        sa.select(table.pending_since, table.started_at)
        .where(table.release_id == release_id, table.started_at > table.pending_since)
        .order_by(table.started_at.desc())
        .limit(LAST_STARTS)
    )
    return [(row.started_at - row.pending_since).total_seconds() for row in tx.execute(query)]


def on_vm(tx: Tx, vm_id: int) -> list[Deployment]:
    """Deployments on a VM that are not removed."""
    query = _SELECT.where(deployments.c.vm_id == vm_id, deployments.c.state != State.REMOVED)
    return [rows.deployment(row) for row in tx.execute(query)]


def running_on(tx: Tx, vm_id: int) -> list[str]:
    """The ids of those that run on a VM: asked for every few seconds, so no more than that."""
    there = (deployments.c.vm_id == vm_id) & (deployments.c.state == State.RUNNING)
    return list(tx.execute(sa.select(deployments.c.id).where(there)).scalars())


def of_release(tx: Tx, release_id: int) -> list[Deployment]:
    """Deployments of a release that are not removed, oldest first."""
    query = _SELECT.where(
        deployments.c.release_id == release_id, deployments.c.state != State.REMOVED
    )
    return [rows.deployment(row) for row in tx.execute(query.order_by(deployments.c.created_at))]


def waiting(tx: Tx) -> list[Deployment]:
    """The queue, from its head."""
    query = _SELECT.where(deployments.c.state == State.WAITING)
    return [
        rows.deployment(row)
        for row in tx.execute(query.order_by(deployments.c.waiting_since, deployments.c.id))
    ]


def live(tx: Tx) -> list[Deployment]:
    """Everybody's deployments that hold something of a VM now, oldest first."""
    # From the leases, of which the live ones are few and indexed, to the deployments.
    holds = sa.and_(leases.c.resource == deployments.c.id, HELD)
    query = _SELECT.join(leases, holds).order_by(deployments.c.created_at)
    return [rows.deployment(row) for row in tx.execute(query)]


def of_group(tx: Tx, group: str) -> list[Deployment]:
    """What counts for a group and is not removed, oldest first."""
    kept = deployments.c.state != sa.literal(State.REMOVED.value, literal_execute=True)
    query = _SELECT.where(deployments.c.group == group, kept)
    return [rows.deployment(row) for row in tx.execute(query.order_by(deployments.c.created_at))]


def ended(tx: Tx) -> list[Deployment]:
    """Those that hold nothing and can be started again, the newest first."""
    query = _SELECT.where(deployments.c.state.in_((State.STOPPED, State.FAILED)))
    return [
        rows.deployment(row) for row in tx.execute(query.order_by(deployments.c.updated_at.desc()))
    ]


def troubled(tx: Tx, states: Collection[State]) -> list[Deployment]:
    """Those in one of these states whose work does not succeed, the longest first."""
    query = _SELECT.where(deployments.c.state.in_(states), deployments.c.trouble.is_not(None))
    found = [rows.deployment(row) for row in tx.execute(query)]
    return sorted(found, key=lambda each: each.trouble.since if each.trouble else each.updated_at)


def homes(tx: Tx, owner_ids: Collection[int]) -> dict[int, frozenset[int]]:
    """VM ids on which users' containers have run, by user id: their home folders are there."""
    query = sa.select(deployments.c.owner_id, deployments.c.vm_id).where(
        deployments.c.owner_id.in_(owner_ids), deployments.c.started_at.is_not(None)
    )
    homes: dict[int, set[int]] = {}
    for owner_id, vm_id in tx.execute(query.distinct()):
        homes.setdefault(owner_id, set()).add(vm_id)
    return {owner_id: frozenset(vm_ids) for owner_id, vm_ids in homes.items()}


def workable(tx: Tx, states: Collection[State], now: datetime) -> list[tuple[str, int, State]]:
    """(id, VM id, state) of what is in one of these states and nobody holds, oldest first."""
    query = (
        sa.select(deployments.c.id, deployments.c.vm_id, deployments.c.state)
        .where(
            deployments.c.state.in_(states),
            deployments.c.vm_id.is_not(None),
            _unlocked(now),
        )
        .order_by(deployments.c.updated_at)
    )
    return [(row.id, row.vm_id, State(row.state)) for row in tx.execute(query)]


def insert(tx: Tx, **values: Unpack[DeploymentColumns]) -> None:
    """Add a deployment row."""
    tx.execute(deployments.insert().values(**values))


def update(tx: Tx, deployment_id: str, **values: Unpack[DeploymentColumns]) -> None:
    """Change columns of a deployment, whoever works on it."""
    tx.execute(deployments.update().where(deployments.c.id == deployment_id).values(**values))


def claim(tx: Tx, deployment_id: str, token: str, now: datetime, expires_at: datetime) -> bool:
    """Take the deployment for work; False when somebody else has it."""
    query = deployments.update().where(deployments.c.id == deployment_id, _unlocked(now))
    return tx.execute(query.values(lock_token=token, lock_expires_at=expires_at)).rowcount == 1


def update_claimed(
    tx: Tx, deployment_id: str, token: str, **values: Unpack[DeploymentColumns]
) -> None:
    """Change columns only while the token holds. Raises LockLost when it does not."""
    query = deployments.update().where(
        deployments.c.id == deployment_id, deployments.c.lock_token == token
    )
    if tx.execute(query.values(**values)).rowcount != 1:
        raise LockLost(deployment_id)


def renew(tx: Tx, tokens: Mapping[str, str], expires_at: datetime) -> None:
    """Let all these claims (deployment id → token) last longer, in one statement."""
    held = deployments.update().where(
        deployments.c.id.in_(tokens), deployments.c.lock_token.in_(tokens.values())
    )
    tx.execute(held.values(lock_expires_at=expires_at))


def unlock_all(tx: Tx, states: Collection[State]) -> int:
    """Drop every claim in these states; who worked on one is refused at the next write.

    Returns how many.
    """
    held = deployments.update().where(
        deployments.c.state.in_(states), deployments.c.lock_token.is_not(None)
    )
    return tx.execute(held.values(lock_token=None, lock_expires_at=None)).rowcount


def _unlocked(now: datetime) -> sa.ColumnElement[bool]:
    """Held by nobody: no claim, an old one, or one from before a clock was set back."""
    return sa.or_(
        deployments.c.lock_token.is_(None),
        deployments.c.lock_expires_at < now,
        deployments.c.lock_expires_at > now + LONGEST_CLAIM,
    )
