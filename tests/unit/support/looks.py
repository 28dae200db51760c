"""Looks of the worker at a VM, and what happens to VMs in between."""

from __future__ import annotations

from portal import db
from portal.context import Portal
from portal.core.models import Deployment, Vm
from portal.jobs.observe import observe
from support.fakes import Box, FakeClock, FakeEngine


def recorded(portal: Portal, name: str = "vm-01") -> Vm:
    with portal.database.reading() as tx:
        vm = db.vms.by_name(tx, name)
    assert vm
    return vm


def look(portal: Portal, engine: FakeEngine, name: str = "vm-01") -> None:
    """One look of the worker at a VM, as it is recorded now."""
    observe(portal, recorded(portal, name), engine)


def box_of(engine: FakeEngine, deployment: Deployment) -> Box:
    return engine.boxes[f"portal-{deployment.id}"]


def restart_vm(engine: FakeEngine, box: Box, clock: FakeClock) -> None:
    """Everything on the VM ends, and its engine starts anew."""
    box.running, box.exit_code, box.started_at = False, 255, clock()
    clock.forward(60)
    engine.engine_start = clock()
