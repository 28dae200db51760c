"""Record what VMs report: that they answer, their health, their GPUs. Probing is the jobs'."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from portal import db
from portal.context import Portal
from portal.core.engine import EngineInfo, GpuReport, VmReport
from portal.core.models import Gpu, GpuState, Vm
from portal.db import Tx
from portal.db.columns import VmColumns
from portal.vms import health as vm_health

WORKER = "worker"
SEEN_EVERY = timedelta(seconds=15)


def record_probe(portal: Portal, vm: Vm, info: EngineInfo) -> None:
    """Record a probe that was answered; coming back is audited.

    One that says nothing new is written every SEEN_EVERY only.
    """
    now = portal.now()
    same = vm.reachable and (vm.cpus, vm.memory_gb) == (info.cpus, info.memory_gb)
    if same and vm.last_seen_at and timedelta() <= now - vm.last_seen_at < SEEN_EVERY:
        return
    with portal.database.transaction() as tx:
        db.vms.update(
            tx,
            vm.id,
            reachable=True,
            error=None,
            cpus=info.cpus,
            memory_gb=info.memory_gb,
            last_seen_at=now,
        )
        if vm.last_seen_at and (vm.cpus, vm.memory_gb) != (info.cpus, info.memory_gb):
            db.audit.append(
                tx,
                now,
                WORKER,
                "vm.resized",
                f"vm:{vm.name}",
                cpus=info.cpus,
                memory_gb=info.memory_gb,
            )
        if not vm.reachable:
            db.audit.append(tx, now, WORKER, "vm.reachable", f"vm:{vm.name}", engine=info.version)


def record_health(portal: Portal, vm: Vm, report: VmReport) -> None:
    """Record what a VM reports of itself; a change of its firewall's state is audited."""
    now = portal.now()
    with portal.database.transaction() as tx:
        db.vms.update(
            tx,
            vm.id,
            firewall=report.firewall,
            disk_free_gb=report.disk_free_gb,
            clock_skew_s=report.clock_skew_s,
            checked_at=now,
            synchronised=report.synchronised,
            ports_reserved=(
                None
                if report.reserved_ports is None
                else vm_health.reserves(report.reserved_ports, portal.settings.served_ports)
            ),
        )
        if report.firewall != vm.firewall:
            details = db.audit.changed({"firewall": vm.firewall}, {"firewall": report.firewall})
            db.audit.append(tx, now, WORKER, "vm.firewall", f"vm:{vm.name}", **details)


def record_gpus(portal: Portal, vm: Vm, report: GpuReport, *, readings: bool = True) -> None:
    """Record a probe of a VM's GPUs.

    What comes, goes or becomes unhealthy is audited; readings are not. Without `readings` nothing
    is written for them alone.
    """
    if not readings and not _is_news(portal, vm, report):
        return
    now = portal.now()
    facts: VmColumns = {
        "driver": report.driver,
        "cuda": report.cuda,
        "gpu_access": report.access,
        "gpu_problem": report.problem,
    }
    with portal.database.transaction() as tx:
        recorded = db.gpus.of_vm(tx, vm.id)
        new = Counter(seen.model for seen in report.gpus if seen.uuid not in recorded)
        if facts != {name: getattr(vm, name) for name in facts}:
            db.vms.update(tx, vm.id, **facts)
            db.audit.append(tx, now, WORKER, "vm.gpus", f"vm:{vm.name}", **facts)
        changed = False
        for gpu in _of_this_vm(tx, vm, report):
            changed |= _put(tx, vm, gpu, recorded.pop(gpu.uuid, None), now)
        leased = db.leases.gpus(tx)
        there = {seen.uuid for seen in report.gpus} | {seen.parent for seen in report.gpus}
        for uuid, gpu in recorded.items():
            divided = (gpu.parent or uuid) in there
            replaced = not divided and uuid not in leased and new[gpu.model] > 0
            new[gpu.model] -= replaced
            _gone(tx, vm, gpu, now, leased.get(uuid), replaced=divided or replaced)
    if changed:
        portal.wake()  # somebody may wait for what came


def _of_this_vm(tx: Tx, vm: Vm, report: GpuReport) -> list[Gpu]:
    """Two VMs may name the same GPU (one was cloned, say): the first keeps it."""
    elsewhere = {
        gpu.uuid
        for gpu in db.gpus.all_gpus(tx)
        if gpu.vm_id != vm.id and gpu.state is not GpuState.MISSING
    }
    return [
        Gpu(vm_id=vm.id, state=GpuState.UNHEALTHY if seen.problem else GpuState.OK, **vars(seen))
        for seen in report.gpus
        if seen.uuid not in elsewhere
    ]


def _put(tx: Tx, vm: Vm, gpu: Gpu, before: Gpu | None, now: datetime) -> bool:
    """Record a GPU as it is reported; whether it came, or its state changed, which is audited."""
    if gpu != before:
        db.gpus.put(tx, gpu)
    if before is not None and before.state is gpu.state:
        return False
    facts: dict[str, Any] = {"vm": vm.name, "model": gpu.model, "problem": gpu.problem}
    if before is not None:
        facts |= db.audit.changed({"state": before.state}, {"state": gpu.state})
    action = f"gpu.{gpu.state}"
    db.audit.append(tx, now, WORKER, action, f"gpu:{gpu.uuid}", **facts)
    return True


def _is_news(portal: Portal, vm: Vm, report: GpuReport) -> bool:
    """Whether it says more than other readings."""
    if (vm.driver, vm.cuda, vm.gpu_access, vm.gpu_problem) != (
        report.driver,
        report.cuda,
        report.access,
        report.problem,
    ):
        return True
    with portal.database.reading() as tx:
        known = {
            (gpu.uuid, gpu.problem)
            for gpu in db.gpus.of_vm(tx, vm.id).values()
            if gpu.state is not GpuState.MISSING
        }
    return known != {(seen.uuid, seen.problem) for seen in report.gpus}


def _gone(
    tx: Tx, vm: Vm, gpu: Gpu, now: datetime, deployment: str | None, *, replaced: bool
) -> None:
    """A GPU that is not reported any more is kept, so that people see it.

    Not so what nobody holds and was `replaced`: by MIG's other parts of the same GPU, by another
    card of the model, or by the same virtual GPU, which has another name after each boot.
    """
    subject, facts = f"gpu:{gpu.uuid}", {"vm": vm.name, "model": gpu.model}
    if deployment is None and replaced:
        db.gpus.delete(tx, gpu.uuid)
        db.audit.append(tx, now, WORKER, db.gpus.GONE, subject, **facts)
    elif gpu.state is not GpuState.MISSING:
        db.gpus.mark_missing(tx, gpu.uuid, f"{vm.name} no longer reports it")
        missing = f"gpu.{GpuState.MISSING}"
        db.audit.append(tx, now, WORKER, missing, subject, **facts, deployment=deployment)


def record_unreachable(portal: Portal, vm: Vm, error: str) -> None:
    """Record a probe that failed; the first of a row is audited."""
    now = portal.now()
    with portal.database.transaction() as tx:
        db.vms.update(tx, vm.id, reachable=False, error=error[:500])
        if vm.reachable:
            db.audit.append(tx, now, WORKER, "vm.unreachable", f"vm:{vm.name}", error=error[:500])
