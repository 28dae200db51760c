"""VMs that are to be empty at a time: what runs there then is stopped, its owner reads why."""

from __future__ import annotations

import structlog

from portal import db
from portal.context import Portal
from portal.core.models import Deployment
from portal.deployments import lifecycle
from portal.deployments.intervention import ask_to_stop
from portal.vms import draining

WHO = "worker"
log = structlog.get_logger()


def empty(portal: Portal) -> list[Deployment]:
    """Ask for the stop of all that can be stopped on VMs whose time has come."""
    now = portal.now()
    with portal.database.reading() as tx:
        if not any(_stoppable(tx, vm.id) for vm in draining.due(tx, now)):
            return []
    stopped = []
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        for vm in draining.due(tx, now):
            note = f"{vm.name} is taken out of use: {vm.drain_reason}"
            stopped += [ask_to_stop(portal, tx, WHO, each, note) for each in _stoppable(tx, vm.id)]
    if stopped:
        log.info("vm_emptied", stopped=[each.id for each in stopped])
        portal.wake()
    return stopped


def _stoppable(tx: db.Tx, vm_id: int) -> list[Deployment]:
    return [
        each
        for each in db.deployments.on_vm(tx, vm_id)
        if lifecycle.is_possible("stop", each.state, restarting=each.restart_after_stop)
    ]
