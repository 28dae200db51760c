"""Record what VMs report: that they answer, their health, their GPUs. Probing is the jobs'."""

from __future__ import annotations

from datetime import datetime, timedelta

from portal import db
from portal.context import Portal
from portal.core.engine import EngineInfo, GpuReport, VmReport
from portal.core.models import Gpu, GpuState, Vm
from portal.db import Tx
from portal.db.columns import VmColumns
from portal.vms import health as vm_health

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
                "worker",
                "vm.resized",
                f"vm:{vm.name}",
                cpus=info.cpus,
                memory_gb=info.memory_gb,
            )
        if not vm.reachable:
            db.audit.append(tx, now, "worker", "vm.reachable", f"vm:{vm.name}", engine=info.version)


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
            db.audit.append(
                tx, now, "worker", "vm.firewall", f"vm:{vm.name}", firewall=report.firewall
            )


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
    changed = False
    with portal.database.transaction() as tx:
        recorded = db.gpus.of_vm(tx, vm.id)
        if facts != {name: getattr(vm, name) for name in facts}:
            db.vms.update(tx, vm.id, **facts)
            db.audit.append(tx, now, "worker", "vm.gpus", f"vm:{vm.name}", **facts)
        elsewhere = {
            gpu.uuid
            for gpu in db.gpus.all_gpus(tx)
            if gpu.vm_id != vm.id and gpu.state is GpuState.OK
        }
        for seen in report.gpus:
            if seen.uuid in elsewhere:
                continue  # two VMs name the same GPU (one was cloned, say): the first keeps it
            gpu = Gpu(
                vm_id=vm.id, state=GpuState.UNHEALTHY if seen.problem else GpuState.OK, **vars(seen)
            )
            before = recorded.pop(gpu.uuid, None)
            if gpu != before:
                db.gpus.put(tx, gpu)
            if before is None or before.state is not gpu.state:
                db.audit.append(
                    tx,
                    now,
                    "worker",
                    f"gpu.{gpu.state}",
                    f"gpu:{gpu.uuid}",
                    vm=vm.name,
                    model=gpu.model,
                    problem=gpu.problem,
                )
                changed = True
        _missing(tx, vm, recorded, now)
    if changed:
        portal.wake()  # somebody may wait for what came


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
        known = {(gpu.uuid, gpu.problem) for gpu in db.gpus.of_vm(tx, vm.id).values()}
    return known != {(seen.uuid, seen.problem) for seen in report.gpus}


def _missing(tx: Tx, vm: Vm, gone: dict[str, Gpu], now: datetime) -> None:
    """A leased GPU that vanished is kept, so that people see it; others are forgotten."""
    leased = db.leases.gpus(tx)
    for uuid, gpu in gone.items():
        if uuid not in leased:
            db.gpus.delete(tx, uuid)
            db.audit.append(
                tx, now, "worker", "gpu.gone", f"gpu:{uuid}", vm=vm.name, model=gpu.model
            )
        elif gpu.state is not GpuState.MISSING:
            db.gpus.mark_missing(tx, uuid, f"{vm.name} no longer reports it")
            db.audit.append(
                tx,
                now,
                "worker",
                f"gpu.{GpuState.MISSING}",
                f"gpu:{uuid}",
                vm=vm.name,
                model=gpu.model,
                deployment=leased[uuid],
            )


def record_unreachable(portal: Portal, vm: Vm, error: str) -> None:
    """Record a probe that failed; the first of a row is audited."""
    now = portal.now()
    with portal.database.transaction() as tx:
        db.vms.update(tx, vm.id, reachable=False, error=error[:500])
        if vm.reachable:
            db.audit.append(tx, now, "worker", "vm.unreachable", f"vm:{vm.name}", error=error[:500])
