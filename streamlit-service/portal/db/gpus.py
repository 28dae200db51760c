"""Rows of GPUs and MIG instances, as VMs last reported them."""

from __future__ import annotations

import sqlalchemy as sa

from portal.core.models import Gpu, GpuState
from portal.db import rows
from portal.db.connection import Tx
from portal.db.schema import gpus

GONE = "gpu.gone"
"""The audit action of a GPU that is forgotten."""
_ORDERED = sa.select(gpus).order_by(gpus.c.vm_id, gpus.c.index, gpus.c.uuid)


def all_gpus(tx: Tx) -> list[Gpu]:
    """Every GPU that was ever seen on a VM of the fleet, by VM and index."""
    return [rows.gpu(row) for row in tx.execute(_ORDERED)]


def exist(tx: Tx) -> bool:
    """Whether any was ever seen on a VM of the fleet."""
    return bool(tx.execute(sa.select(sa.exists(sa.select(gpus.c.uuid)))).scalar())


def count(tx: Tx) -> int:
    """How many were ever seen on a VM of the fleet."""
    return int(tx.execute(sa.select(sa.func.count()).select_from(gpus)).scalar_one())


def of_vm(tx: Tx, vm_id: int) -> dict[str, Gpu]:
    """The GPUs of one VM, by UUID."""
    of_vm = (rows.gpu(row) for row in tx.execute(_ORDERED.where(gpus.c.vm_id == vm_id)))
    return {gpu.uuid: gpu for gpu in of_vm}


def put(tx: Tx, gpu: Gpu) -> None:
    """Insert or replace what is known of a GPU; one that moved to another VM goes with it."""
    tx.execute(gpus.delete().where(gpus.c.uuid == gpu.uuid))
    tx.execute(gpus.insert().values(**vars(gpu)))


def delete(tx: Tx, uuid: str) -> None:
    """Forget a GPU."""
    tx.execute(gpus.delete().where(gpus.c.uuid == uuid))


def mark_missing(tx: Tx, uuid: str, problem: str) -> None:
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
