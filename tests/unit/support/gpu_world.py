"""A VM with GPUs, for unit tests: what it reports, and asking for some."""

from __future__ import annotations

from dataclasses import replace

from portal import db, deployments, vms
from portal.context import Portal
from portal.core.engine import GpuReport, SeenGpu
from portal.core.models import Deployment, Order, Vm
from portal.core.people import User
from portal.scheduling import admission


def report(count: int = 2, **changes: object) -> GpuReport:
    gpus = tuple(SeenGpu(f"GPU-{n}", n, "A100", None, 40, 0, 0, 40) for n in range(count))
    return replace(GpuReport(gpus, "535.104.05", "12.2", "nvidia"), **changes)  # type: ignore[arg-type]


def see(portal: Portal, seen: GpuReport, name: str = "vm-01") -> Vm:
    """Let the worker look at a VM's GPUs."""
    with portal.database.reading() as tx:
        vm = db.vms.by_name(tx, name)
    assert vm
    vms.record_gpus(portal, vm, seen)
    return vm


def serve(portal: Portal) -> list[str]:
    """The queue moves up, as in the worker's next pass."""
    with portal.database.transaction() as tx:
        return [deployment.id for deployment in admission.advance(portal, tx).started]


def held(portal: Portal) -> dict[str, str]:
    with portal.database.reading() as tx:
        return db.leases.gpus(tx)


def ask(portal: Portal, user: User, name: str, gpus: int = 1, **more: object) -> Deployment:
    return deployments.request(portal, user, Order("ml-cpu", name, gpus, **more))  # type: ignore[arg-type]
