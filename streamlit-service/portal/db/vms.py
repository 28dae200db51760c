"""Rows of VMs."""

from __future__ import annotations

from typing import Unpack

import sqlalchemy as sa

from portal.core.models import Vm, VmState
from portal.db import rows
from portal.db.columns import VmColumns
from portal.db.connection import Tx, one_or_none
from portal.db.schema import gpus, vm_images, vms

_IN_FLEET = vms.c.state != VmState.REMOVED


def all_vms(tx: Tx) -> list[Vm]:
    """Every VM of the fleet, by name."""
    return [
        rows.vm(row) for row in tx.execute(sa.select(vms).where(_IN_FLEET).order_by(vms.c.name))
    ]


def by_name(tx: Tx, name: str) -> Vm | None:
    """The VM of the fleet with this name."""
    return one_or_none(tx, sa.select(vms).where(vms.c.name == name, _IN_FLEET), rows.vm)


def insert(
    tx: Tx,
    name: str,
    engine_url: str,
    address: str,
    owner_id: int | None,
    pool: str,
    state: VmState,
) -> None:
    """Add a VM, recorded as reachable until its first probe.

    One that was removed comes back, and takes nothing before it was seen: something may run there.
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
    back = {**values, "reachable": False, "error": "It has not been seen since it came back."}
    if tx.execute(vms.update().where(vms.c.name == name).values(**back)).rowcount == 0:
        tx.execute(vms.insert().values(name=name, **values))


def remove(tx: Tx, vm_id: int) -> None:
    """Take a VM out of the fleet; its row stays for the history of what ran there."""
    tx.execute(gpus.delete().where(gpus.c.vm_id == vm_id))
    tx.execute(vm_images.delete().where(vm_images.c.vm_id == vm_id))
    update(tx, vm_id, state=VmState.REMOVED)


def rename_pool(tx: Tx, before: str, after: str) -> None:
    """Give the pool of a group the group's new name."""
    tx.execute(vms.update().where(vms.c.pool == before).values(pool=after))


def change_owner(tx: Tx, before: int, after: int) -> None:
    """Dedicate the VMs of one user to another."""
    tx.execute(vms.update().where(vms.c.owner_id == before).values(owner_id=after))


def update(tx: Tx, vm_id: int, **values: Unpack[VmColumns]) -> None:
    """Change columns of a VM."""
    tx.execute(vms.update().where(vms.c.id == vm_id).values(**values))
