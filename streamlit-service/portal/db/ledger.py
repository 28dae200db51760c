"""What is held, of what there is: leases, GPUs, quotas, and the usage that leases add up to.

SQL, as in store.py.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from portal.core.models import Gpu, GpuState, Quota, State
from portal.db import rows
from portal.db.schema import deployments, gpus, leases, quotas, releases, users, vms
from portal.db.store import Tx

PORT, GPU, COMPUTE = "port", "gpu", "compute"
RUN = (GPU, COMPUTE)
"""Kinds that are held from reservation to stop; ports are kept until removal."""
_HELD = sa.and_(leases.c.kind == COMPUTE, leases.c.released_at.is_(None))


@dataclass(frozen=True)
class Held:
    """What a user's or a group's live and waiting deployments hold together."""

    gpus: int = 0
    memory_gb: float = 0.0
    cpus: float = 0.0
    deployments: int = 0
    """Stopped ones too: each keeps its ports."""

    def plus(self, gpus: int, memory_gb: float, cpus: float) -> Held:
        """With this on top."""
        return Held(
            self.gpus + gpus, self.memory_gb + memory_gb, self.cpus + cpus, self.deployments
        )


def add_up(every: Iterable[Held]) -> Held:
    """All of it together."""
    total = Held()
    for one in every:
        total = total.plus(one.gpus, one.memory_gb, one.cpus)
    return total


# --- leases --------------------------------------------------------------------------------


def lease(tx: Tx, kind: str, resources: Sequence[str], deployment_id: str, now: datetime) -> None:
    """Lease resources. sqlalchemy IntegrityError when one is held: the transaction must end."""
    group = (
        sa.select(users.c.group)
        .join(deployments, deployments.c.owner_id == users.c.id)
        .where(deployments.c.id == deployment_id)
        .scalar_subquery()
    )
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
    found: datetime | None = tx.execute(query).scalar()
    return found


def live_leases(tx: Tx) -> list[Mapping[str, Any]]:
    """Every lease that is held now."""
    return [
        dict(row._mapping)
        for row in tx.execute(sa.select(leases).where(leases.c.released_at.is_(None)))
    ]


def leased_gpus(tx: Tx) -> dict[str, str]:
    """UUID → deployment id of every GPU that is held now."""
    query = sa.select(leases.c.resource, leases.c.deployment_id)
    return dict(
        tx.execute(query.where(leases.c.kind == GPU, leases.c.released_at.is_(None))).tuples().all()
    )


def held_slots(tx: Tx, owner_id: int) -> set[int]:
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


def held_memory(tx: Tx) -> dict[int, float]:
    """GB held now by VM id, until a container is seen to be gone."""
    query = (
        sa.select(deployments.c.vm_id, sa.func.sum(deployments.c.memory_gb))
        .join(leases, leases.c.deployment_id == deployments.c.id)
        .where(_HELD)
        .group_by(deployments.c.vm_id)
    )
    return dict(tx.execute(query).tuples().all())


# --- quotas --------------------------------------------------------------------------------


def held_by_user(tx: Tx, user_id: int) -> Held:
    """What a user holds or waits for."""
    return _held(tx, deployments.c.owner_id == user_id)


def held_by_group(tx: Tx, group: str) -> Held:
    """What all members of a group hold or wait for together."""
    members = sa.select(users.c.id).where(users.c.group == group)
    return _held(tx, deployments.c.owner_id.in_(members))


def _held(tx: Tx, whose: sa.ColumnElement[bool]) -> Held:
    holds = sa.exists().where(leases.c.deployment_id == deployments.c.id, _HELD)
    row = tx.execute(
        _sums().where(whose, sa.or_(holds, deployments.c.state == State.WAITING))
    ).one()
    count = tx.execute(
        sa.select(sa.func.count()).where(whose, deployments.c.state != State.REMOVED)
    ).scalar_one()
    return Held(int(row[0]), float(row[1]), float(row[2]), count)


def held_by_everybody(tx: Tx) -> dict[int, Held]:
    """What each user's containers hold now, waiting left out, by user id."""
    query = (
        _sums()
        .add_columns(deployments.c.owner_id)
        .join(leases, leases.c.deployment_id == deployments.c.id)
    )
    found = tx.execute(query.where(_HELD).group_by(deployments.c.owner_id))
    return {row[3]: Held(int(row[0]), float(row[1]), float(row[2])) for row in found}


def _sums() -> sa.Select[Any]:
    columns = (deployments.c.gpus, deployments.c.memory_gb, deployments.c.cpus)
    return sa.select(*(sa.func.coalesce(sa.func.sum(column), 0) for column in columns))


def quota(tx: Tx, scope: str, key: str) -> Quota | None:
    """The row of a default (key ""), group or user; None when there is none."""
    row = tx.execute(sa.select(quotas).where(quotas.c.scope == scope, quotas.c.key == key)).first()
    return rows.quota(row) if row is not None else None


def all_quotas(tx: Tx) -> dict[tuple[str, str], Quota]:
    """Every row, by (scope, key)."""
    found = tx.execute(sa.select(quotas).order_by(quotas.c.scope, quotas.c.key))
    return {(row.scope, row.key): rows.quota(row) for row in found}


def set_quota(tx: Tx, scope: str, key: str, value: Quota | None) -> None:
    """Replace a row; None deletes it."""
    tx.execute(quotas.delete().where(quotas.c.scope == scope, quotas.c.key == key))
    if value is not None:
        tx.execute(quotas.insert().values(scope=scope, key=key, **vars(value)))


# --- GPUs ----------------------------------------------------------------------------------


def all_gpus(tx: Tx) -> list[Gpu]:
    """Every GPU that was ever seen on a VM of the fleet, by VM and index."""
    return [
        rows.gpu(row)
        for row in tx.execute(sa.select(gpus).order_by(gpus.c.vm_id, gpus.c.index, gpus.c.uuid))
    ]


def gpus_of(tx: Tx, vm_id: int) -> dict[str, Gpu]:
    """The GPUs of one VM, by UUID."""
    return {gpu.uuid: gpu for gpu in all_gpus(tx) if gpu.vm_id == vm_id}


def put_gpu(tx: Tx, gpu: Gpu) -> None:
    """Insert or replace what is known of a GPU; one that moved to another VM goes with it."""
    tx.execute(gpus.delete().where(gpus.c.uuid == gpu.uuid))
    tx.execute(gpus.insert().values(**vars(gpu)))


def drop_gpu(tx: Tx, uuid: str) -> None:
    """Forget a GPU."""
    tx.execute(gpus.delete().where(gpus.c.uuid == uuid))


def gpu_missing(tx: Tx, uuid: str, problem: str) -> None:
    """A GPU is no longer reported: kept, so that people see it, and not handed out."""
    tx.execute(
        gpus.update()
        .where(gpus.c.uuid == uuid)
        .values(
            state=GpuState.MISSING,
            problem=problem,
            memory_used_gb=None,
            utilisation=None,
            temperature=None,
        )
    )


# --- usage ---------------------------------------------------------------------------------


def intervals(
    tx: Tx, since: datetime, until: datetime, user_id: int | None = None
) -> list[Mapping[str, Any]]:
    """Leases of GPUs and compute that overlap the period, of one user or all, with their purpose.

    The group is the one that the user was in when the lease began.
    """
    query = (
        sa.select(
            leases.c.kind,
            leases.c.acquired_at,
            leases.c.released_at,
            deployments.c.memory_gb,
            deployments.c.cpus,
            users.c.subject,
            users.c.display_name,
            leases.c.group,
            releases.c.image,
            vms.c.name.label("vm"),
        )
        .join(deployments, deployments.c.id == leases.c.deployment_id)
        .join(users, users.c.id == deployments.c.owner_id)
        .join(releases, releases.c.id == deployments.c.release_id)
        .outerjoin(vms, vms.c.id == deployments.c.vm_id)
        .where(leases.c.kind.in_(RUN), leases.c.acquired_at < until)
        .where(sa.or_(leases.c.released_at.is_(None), leases.c.released_at > since))
    )
    if user_id is not None:
        query = query.where(deployments.c.owner_id == user_id)
    return [dict(row._mapping) for row in tx.execute(query)]
