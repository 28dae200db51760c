"""Leases: one GPU, one port or a share of memory and CPUs, held by one deployment."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from portal.core.models import State
from portal.db.connection import Tx
from portal.db.people_schema import users
from portal.db.schema import deployments, leases

PORT, GPU, COMPUTE = "port", "gpu", "compute"


RUN = (GPU, COMPUTE)
"""Kinds that are held from reservation to stop; ports are kept until removal."""
ALL_BUT_GPUS = (PORT, COMPUTE)
"""Given back while a container may still run somewhere: its GPUs are nobody else's before."""


HELD = sa.and_(leases.c.kind == COMPUTE, leases.c.released_at.is_(None))


def acquire(tx: Tx, kind: str, resources: Sequence[str], deployment_id: str, now: datetime) -> None:
    """Lease resources. When one is held already, the transaction fails with Taken."""
    of_deployment = sa.select(deployments.c.group).where(deployments.c.id == deployment_id)
    group = of_deployment.scalar_subquery()
    for resource in resources:
        tx.execute(
            leases.insert().values(
                kind=kind,
                resource=resource,
                deployment_id=deployment_id,
                group=group,
                acquired_at=now,
            )
        )


def release(
    tx: Tx, deployment_id: str, now: datetime, kinds: Collection[str] | None = None
) -> None:
    """Give back what a deployment holds: everything, or leases of some kinds."""
    query = leases.update().where(
        leases.c.deployment_id == deployment_id, leases.c.released_at.is_(None)
    )
    if kinds is not None:
        query = query.where(leases.c.kind.in_(kinds))
    tx.execute(query.values(released_at=now))


def last_released(tx: Tx, kind: str, resource: str, not_by: str) -> datetime | None:
    """When somebody else than deployment `not_by` last gave a resource back."""
    query = sa.select(sa.func.max(leases.c.released_at)).where(
        leases.c.kind == kind, leases.c.resource == resource, leases.c.deployment_id != not_by
    )
    at: datetime | None = tx.execute(query).scalar()
    return at


def live(tx: Tx) -> list[Mapping[str, Any]]:
    """Every lease that is held now."""
    return [
        dict(row._mapping)
        for row in tx.execute(sa.select(leases).where(leases.c.released_at.is_(None)))
    ]


def gpus(tx: Tx) -> dict[str, str]:
    """UUID → deployment id of every GPU that is held now."""
    query = sa.select(leases.c.resource, leases.c.deployment_id)
    return dict(
        tx.execute(query.where(leases.c.kind == GPU, leases.c.released_at.is_(None))).tuples().all()
    )


def left_over(tx: Tx, vm_id: int | None = None) -> dict[str, set[str]]:
    """Deployment id → GPUs that it holds though it is over: its container was not gone.

    On one VM, or on all.
    """
    query = (
        sa.select(deployments.c.id, leases.c.resource)
        .join(leases, leases.c.deployment_id == deployments.c.id)
        .where(
            leases.c.kind == GPU,
            leases.c.released_at.is_(None),
            sa.true() if vm_id is None else deployments.c.vm_id == vm_id,
            deployments.c.state.in_((State.STOPPED, State.FAILED, State.REMOVED)),
        )
    )
    held: dict[str, set[str]] = {}
    for deployment_id, uuid in tx.execute(query):
        held.setdefault(deployment_id, set()).add(uuid)
    return held


def release_gpus(tx: Tx, deployment_id: str, uuids: Collection[str], now: datetime) -> None:
    """Give these back, and no others that it has leased since."""
    query = leases.update().where(
        leases.c.deployment_id == deployment_id,
        leases.c.kind == GPU,
        leases.c.resource.in_(uuids),
        leases.c.released_at.is_(None),
    )
    tx.execute(query.values(released_at=now))


def holds(tx: Tx, deployment_id: str, kind: str) -> bool:
    """Whether a deployment holds anything of a kind."""
    query = sa.select(leases.c.id).where(
        leases.c.deployment_id == deployment_id,
        leases.c.kind == kind,
        leases.c.released_at.is_(None),
    )
    return tx.execute(query.limit(1)).first() is not None


def holders(tx: Tx, vm_id: int) -> set[str]:
    """Ids of deployments that hold a share of a VM: their containers may run there."""
    query = (
        sa.select(deployments.c.id)
        .join(leases, leases.c.deployment_id == deployments.c.id)
        .where(HELD, deployments.c.vm_id == vm_id)
    )
    return {deployment_id for (deployment_id,) in tx.execute(query)}


def slots(tx: Tx, owner_id: int) -> set[int]:
    """Slots of a user's range whose ports are leased."""
    query = (
        sa.select(deployments.c.slot)
        .join(leases, leases.c.deployment_id == deployments.c.id)
        .where(
            deployments.c.owner_id == owner_id,
            leases.c.kind == PORT,
            leases.c.released_at.is_(None),
        )
    )
    return {slot for (slot,) in tx.execute(query) if slot is not None}


def slots_on(tx: Tx, vm_id: int, but: int) -> list[tuple[int, int]]:
    """(Range, slot) of everybody's ports on a VM but those of user `but`."""
    query = (
        sa.select(users.c.range_index, deployments.c.slot)
        .distinct()
        .select_from(deployments)
        .join(users, users.c.id == deployments.c.owner_id)
        .join(leases, leases.c.deployment_id == deployments.c.id)
        .where(
            deployments.c.vm_id == vm_id,
            deployments.c.owner_id != but,
            deployments.c.slot >= 0,
            users.c.range_index >= 0,
            leases.c.kind == PORT,
            leases.c.released_at.is_(None),
        )
    )
    return [(index, slot) for index, slot in tx.execute(query)]


def memory_by_vm(tx: Tx) -> dict[int, float]:
    """GB held now by VM id, until a container is seen to be gone."""
    query = (
        sa.select(deployments.c.vm_id, sa.func.sum(deployments.c.memory_gb))
        .join(leases, leases.c.deployment_id == deployments.c.id)
        .where(HELD)
        .group_by(deployments.c.vm_id)
    )
    return dict(tx.execute(query).tuples().all())
