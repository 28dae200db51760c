"""Probe one VM and bring rows and containers back together: exits noticed, orphans removed."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import structlog

from portal import db, vms
from portal.context import Portal
from portal.core.engine import ContainerStatus, Engine, EngineInfo, GpuReport, VmReport
from portal.core.errors import EngineError
from portal.core.models import Deployment, State, Vm
from portal.deployments.container_spec import network
from portal.jobs.settle import WORKER, Seen, settle
from portal.vms import health as vm_health

log = structlog.get_logger()
TRIALS = ("verify", "proof-a", "proof-b")
"""Whose networks jobs.verify_vm and jobs.prove use."""

HOLD_NOTHING = (State.FAILED, State.WAITING)
"""Their container stays, for its log, as long as nobody starts it on the VM by hand."""
STOPPED_AGAIN = "deployment.stopped_again"
RETRY_ORPHAN_S = 60.0
FIRST_LOOK_BACK = timedelta(minutes=1)
_heard_until: dict[int, datetime] = {}
"""VM id → until when its engine's events were read, by its own clock."""
READINGS_EVERY_S = 15.0
_read_at: dict[int, float] = {}
"""VM id → when readings of its GPUs were last written (time.monotonic)."""
_held_by_orphans: dict[int, frozenset[str]] = {}
"""VM id → GPUs that containers hold there which nobody wants and which cannot be removed."""
HELD_BY_ORPHAN = "held_by_an_unwanted_container"
_tried: dict[str, float] = {}
"""Container id → when its removal last failed (time.monotonic)."""


def observe(portal: Portal, vm: Vm, engine: Engine) -> None:
    """Probe the VM and settle what differs.

    A VM that does not answer is marked, nothing is stopped.
    """
    with portal.database.reading() as tx:
        before = {deployment.id: deployment for deployment in db.deployments.on_vm(tx, vm.id)}
        left_over = db.leases.left_over(tx, vm.id)
    try:
        info = engine.info()
        running = [each.id for each in before.values() if each.state is State.RUNNING]
        containers = {each.deployment_id: each for each in engine.containers(running)}
        killed = _killed_for_memory(vm, info, engine)
        for deployment in before.values():
            seen = Seen(containers.get(deployment.id), killed.get(deployment.id))
            settle(portal, deployment, seen, engine)
    except EngineError as error:
        log.warning("vm_unreachable", vm=vm.name, code=error.code, cause=error.cause)
        vms.record_unreachable(portal, vm, error.message)
        return
    wanted = {each.id for each in before.values() if _wanted(each, containers.get(each.id))}
    orphans = {
        deployment_id: status
        for deployment_id, status in containers.items()
        if deployment_id not in wanted and _is_orphan(portal, vm, deployment_id)
    }
    failed = {each.id for each in before.values() if each.state is State.FAILED}
    stuck = {
        each
        for each, status in orphans.items()
        if not _end_orphan(portal, vm, engine, status, keeps_log=each in failed)
    }
    run = {each for each, status in containers.items() if status.running}
    still = run - (orphans.keys() - stuck)
    _give_back(portal, vm, {each: left_over[each] for each in left_over.keys() - still})
    _held_by_orphans[vm.id] = frozenset(uuid for each in stuck for uuid in containers[each].gpus)
    comes_anew = not vm.reachable or vm.last_seen_at is None
    if comes_anew:
        with portal.database.reading() as tx:
            stuck |= still - orphans.keys() - db.leases.holders(tx, vm.id)
    if stuck and comes_anew:
        vms.record_unreachable(
            portal,
            vm,
            f"It answers again, but containers that should not run there are still present:"
            f" {', '.join(sorted(stuck))}.",
        )
        return
    # Last: a VM that comes back gets new containers only once what was given up meanwhile, with its
    # GPUs, is gone.
    vms.record_probe(portal, vm, info)


def _killed_for_memory(vm: Vm, info: EngineInfo, engine: Engine) -> dict[str, datetime]:
    """Deployment id → when something in it was killed since the last look."""
    if info.at is None:
        return {}
    # The VM's clock may have been set back since.
    since = min(_heard_until.get(vm.id, info.at - FIRST_LOOK_BACK), info.at)
    try:
        killed = engine.out_of_memory(since, info.at)
    except EngineError as error:  # no reason to take the VM for lost
        log.warning("events_not_read", vm=vm.name, code=error.code, cause=error.cause)
        return {}
    _heard_until[vm.id] = info.at
    return killed


def _end_orphan(
    portal: Portal, vm: Vm, engine: Engine, status: ContainerStatus, *, keeps_log: bool
) -> bool:
    """Remove a container that nobody wants; one that failed is stopped again, for its log.

    One that cannot be removed is left for a minute: False.
    """
    now = time.monotonic()
    if now - _tried.get(status.id, -RETRY_ORPHAN_S) < RETRY_ORPHAN_S:
        return False
    try:
        if keeps_log:
            engine.stop(status.id, grace_s=0)
        else:
            engine.remove(status.id)
    except EngineError as error:
        _tried[status.id] = now
        log.warning(
            "orphan_not_removed", vm=vm.name, deployment=status.deployment_id, cause=error.cause
        )
        return False
    _tried.pop(status.id, None)
    if keeps_log:
        subject = f"deployment:{status.deployment_id}"
        with portal.database.transaction() as tx:
            db.audit.append(tx, portal.now(), WORKER, STOPPED_AGAIN, subject, vm=vm.name)
        return True
    log.warning("orphan_removed", vm=vm.name, deployment=status.deployment_id)
    return True


def _give_back(portal: Portal, vm: Vm, gone: Mapping[str, Collection[str]]) -> None:
    """GPUs that were held because their container might still run: it is seen to be gone.

    Only those of before the look, of what is over still: it may have been started meanwhile.
    """
    if not gone:
        return
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        over = db.leases.left_over(tx, vm.id)
        for deployment_id in gone.keys() & over.keys():
            db.leases.release_gpus(tx, deployment_id, gone[deployment_id], portal.now())
    portal.wake()


def observe_gpus(portal: Portal, vm: Vm, engine: Engine) -> GpuReport | None:
    """Probe the VM's GPUs; None when it is silent, which is left to observe().

    None, too, before it was first seen without containers that must not run there: until then its
    GPUs may be somebody's, whatever the VM is called now.
    """
    if vm.last_seen_at is None:
        return None
    try:
        report = _without_held(engine.gpus(), _held_by_orphans.get(vm.id, frozenset()))
    except EngineError as error:
        log.warning("gpus_not_probed", vm=vm.name, code=error.code, cause=error.cause)
        return None
    now = time.monotonic()
    due = now - _read_at.get(vm.id, -READINGS_EVERY_S) >= READINGS_EVERY_S
    if due:
        _read_at[vm.id] = now
    vms.record_gpus(portal, vm, report, readings=due)
    return report


def _without_held(report: GpuReport, held: Collection[str]) -> GpuReport:
    """The report, with GPUs that an unwanted container holds out of order."""
    if not held:
        return report
    seen = (
        replace(gpu, problem=HELD_BY_ORPHAN) if gpu.uuid in held else gpu for gpu in report.gpus
    )
    return replace(report, gpus=tuple(seen))


def _networks(portal: Portal, vm: Vm) -> list[str]:
    """Those that are needed on a VM: of whoever has something there, and the portal's own trials.

    An engine whose network is removed while a container starts on it may never start again (seen
    with Docker 20.10: a panic in libnetwork), so none that may be used now is ever removed.
    """
    with portal.database.reading() as tx:
        owners = {deployment.owner.id for deployment in db.deployments.on_vm(tx, vm.id)}
    return [network(portal.settings, owner)[0] for owner in (*owners, *TRIALS)]


def observe_health(portal: Portal, vm: Vm, engine: Engine) -> None:
    """Ask the VM about firewall, disk and clock; remove networks that nobody needs any more."""
    if not vm.reachable:
        return
    try:
        report = vm_health.report_of(vm, engine)
        if report is not None:
            vms.record_health(portal, vm, report)
    except EngineError as error:
        log.warning("vm_health_not_probed", vm=vm.name, code=error.code, cause=error.cause)
        if vm.checked_at is None:
            # Later silence is noticed by its age.
            vms.record_health(portal, vm, VmReport("unknown"))
        return
    try:
        engine.prune_networks(partial(_networks, portal, vm))
    except EngineError as error:
        log.warning("networks_not_removed", vm=vm.name, code=error.code, cause=error.cause)


def _wanted(deployment: Deployment, status: ContainerStatus | None) -> bool:
    """Whether its container may be here: of one that holds nothing, while it does not run."""
    if deployment.state in HOLD_NOTHING:
        return status is not None and not status.running
    return deployment.state is not State.REMOVED


def _is_orphan(portal: Portal, vm: Vm, deployment_id: str) -> bool:
    """Whether nobody wants a container on this VM: rows come before containers.

    A deployment that goes on at another VM has left this one's container behind.
    """
    with portal.database.reading() as tx:
        deployment = db.deployments.by_id(tx, deployment_id)
    return (
        deployment is None
        or deployment.state in (State.REMOVED, *HOLD_NOTHING)
        or (deployment.vm is not None and deployment.vm.id != vm.id)
    )
