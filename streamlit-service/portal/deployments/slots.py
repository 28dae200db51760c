"""Slots of a user's port range: the lowest free one, its ports leased, another where one fails."""

from __future__ import annotations

from datetime import datetime, timedelta

from portal import db
from portal.core import ports
from portal.core.errors import NoCapacity
from portal.core.models import Vm
from portal.core.people import User
from portal.db import Tx
from portal.scheduling import placement

BLOCKED_FOR = timedelta(hours=1)
"""How long a port that was found in use on a VM is not tried there."""


def choose(tx: Tx, user: User, vm: Vm | None, now: datetime) -> int:
    """The lowest free slot; those with a port in use on the VM last. NoCapacity without one.

    In use is also what somebody has there whose numbers at another address are the same.
    """
    taken = db.leases.slots(tx, user.id)
    others = db.leases.slots_on(tx, vm.id, user.id) if vm else []
    theirs = {
        slot for index, slot in others if ports.range_of(index) == ports.range_of(user.own_range)
    }
    in_use = db.blocked_ports.since(tx, now - BLOCKED_FOR).get(vm.id, {}) if vm else {}
    blocked = {
        slot
        for slot in range(ports.SLOTS_PER_USER)
        if in_use.keys() & set(ports.slot_ports(user.own_range, slot, ssh=True).values())
    }
    try:
        return placement.choose_slot(taken | blocked | theirs)
    except NoCapacity:
        return placement.choose_slot(taken)


def lease(tx: Tx, user: User, deployment_id: str, slot: int, *, ssh: bool, now: datetime) -> None:
    """Lease the ports of a slot. Taken when somebody else was faster."""
    numbers = ports.slot_ports(user.own_range, slot, ssh=ssh).values()
    names = [ports.lease_name(user.own_range, port) for port in numbers]
    db.leases.acquire(tx, db.leases.PORT, names, deployment_id, now)
