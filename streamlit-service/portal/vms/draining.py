"""Take a VM out of use: no new containers, and, by a time, none at all."""

from __future__ import annotations

from datetime import datetime, timedelta

from portal import db
from portal.context import Portal
from portal.core.errors import Conflict, Invalid
from portal.core.models import Vm, VmState
from portal.core.people import Actor
from portal.core.reasons import check_reason
from portal.db import Tx
from portal.db.columns import VmColumns
from portal.vms.service import change, known

EXAMPLE = "its GPUs are exchanged on Saturday."
LONGEST = timedelta(days=366)
NOT_EMPTIED: VmColumns = {"drain_by": None, "drain_reason": ""}


def drain(
    portal: Portal, actor: Actor, name: str, by: datetime | None = None, reason: str = ""
) -> Vm:
    """Let no new containers start on it. What runs goes on, or is stopped at the time `by`.

    Their owners read the reason from now on. Undone by activate(); again, with another time or
    none, changes it. Invalid for a time that has passed, Conflict for a VM that is not in use yet.
    """
    now = portal.now()
    if by is not None and not now < by <= now + LONGEST:
        raise Invalid("bad_time", "A VM is emptied at a time to come.", "Within a year from now.")
    note = check_reason(reason, EXAMPLE) if by is not None else ""

    def columns(tx: Tx) -> VmColumns:
        if by is not None and known(tx, name).state is VmState.NEW:
            raise Conflict("vm_new", f"{name} has no containers yet.", "Remove it instead.")
        return {"state": VmState.DRAINING, "drain_by": by, "drain_reason": note}

    return change(portal, actor, name, "drained", columns)


def activate(portal: Portal, actor: Actor, name: str) -> Vm:
    """It takes new containers, for the first time or again."""

    def columns(_: Tx) -> VmColumns:
        return {"state": VmState.ACTIVE, **NOT_EMPTIED}

    return change(portal, actor, name, "activated", columns)


def due(tx: Tx, now: datetime) -> list[Vm]:
    """VMs that are to be empty by now."""
    return [vm for vm in db.vms.all_vms(tx) if vm.drain_by is not None and vm.drain_by <= now]
