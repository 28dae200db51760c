"""Record what containers reached on a VM; where something opened that must not, take it out."""

from __future__ import annotations

from datetime import timedelta

import structlog

from portal import db
from portal.context import Portal
from portal.core.isolation import OUT, Isolation
from portal.core.models import Vm, VmState
from portal.core.people import Actor
from portal.db.columns import VmColumns
from portal.users import permissions

WORKER = "worker"
MEASURED, DRAINED = "vm.isolation", "vm.drained"
TOLD_EVERY = timedelta(hours=1)
log = structlog.get_logger()


def record(portal: Portal, vm: Vm, measured: Isolation) -> None:
    """Each measurement is an event. A VM with an open cell takes no new containers."""
    breaches = "; ".join(f"{cell.source} reached {cell.target}" for cell in measured.breaches)
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        now = db.vms.by_name(tx, vm.name)
        if now is None or now.id != vm.id:
            return  # removed meanwhile
        before = db.isolation.get(tx, vm.id)
        about = f"vm:{vm.name}"
        if _is_news(before, measured):
            db.isolation.put(tx, vm.id, measured)
            db.audit.append(tx, measured.at, WORKER, MEASURED, about, **measured.details())
        changes: VmColumns = {}
        if not measured.problem and now.breaches != breaches:
            changes["breaches"] = breaches
        # What is let out is the VM's own setting, which may be older than the portal's: an alarm.
        grave = any(cell.target != OUT for cell in measured.breaches)
        if grave and now.state is VmState.ACTIVE:
            changes["state"] = VmState.DRAINING
            drained = db.audit.changed({"state": now.state}, {"state": VmState.DRAINING})
            drained["reason"] = f"isolation: {breaches}"
            db.audit.append(tx, portal.now(), WORKER, DRAINED, about, **drained)
        if changes:
            db.vms.update(tx, vm.id, **changes)
    if breaches:
        log.error("isolation_broken", vm=vm.name, breaches=breaches)
        portal.wake()


def _is_news(before: Isolation | None, now: Isolation) -> bool:
    """The same trouble, tried again every few minutes, is told once an hour."""
    same = before is not None and bool(now.problem) and before.problem == now.problem
    return not same or before is None or not timedelta() <= now.at - before.at < TOLD_EVERY


def last(portal: Portal, actor: Actor) -> dict[int, Isolation]:
    """Of each VM, by its id, for administrators and auditors."""
    permissions.reader(actor)
    with portal.database.reading() as tx:
        return db.isolation.last(tx)
