"""Probe one VM and bring rows and containers back together: exits noticed, orphans removed."""

from __future__ import annotations

import structlog

from portal import db, vms
from portal.context import Portal
from portal.core.engine import ContainerStatus, Engine, VmReport
from portal.core.errors import EngineError
from portal.core.models import Deployment, State, StopReason, Vm
from portal.deployments.container_spec import network
from portal.vms import health as vm_health

log = structlog.get_logger()

UNWANTED = (State.FAILED, State.REMOVED)


def observe(portal: Portal, vm: Vm, engine: Engine) -> None:
    """Probe the VM and settle what differs.

    A VM that does not answer is marked, nothing is stopped.
    """
    with portal.database.reading() as tx:
        before = {deployment.id: deployment for deployment in db.deployments.on_vm(tx, vm.id)}
    try:
        info = engine.info()
        containers = {status.deployment_id: status for status in engine.containers()}
    except EngineError as error:
        log.warning("vm_unreachable", vm=vm.name, code=error.code, cause=error.cause)
        vms.record_unreachable(portal, vm, error.message)
        return
    for deployment in before.values():
        if deployment.state is State.RUNNING:
            _settle(portal, deployment, containers.get(deployment.id))
    wanted = {each.id for each in before.values() if each.state not in UNWANTED}
    for deployment_id, status in containers.items():
        if deployment_id not in wanted and _is_orphan(portal, deployment_id):
            log.warning("orphan_removed", vm=vm.name, deployment=deployment_id)
            try:
                engine.remove(status.id)
            except EngineError as error:
                log.warning("orphan_not_removed", vm=vm.name, cause=error.cause)
    # Last: a VM that comes back gets new containers only once what was given up meanwhile, with its
    # GPUs, is gone.
    vms.record_probe(portal, vm, info)


def observe_gpus(portal: Portal, vm: Vm, engine: Engine) -> None:
    """Probe the VM's GPUs. Silence is left to observe(), which probes more often."""
    try:
        report = engine.gpus()
    except EngineError as error:
        log.warning("gpus_not_probed", vm=vm.name, code=error.code, cause=error.cause)
        return
    vms.record_gpus(portal, vm, report)


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
        with portal.database.reading() as tx:
            owners = {deployment.owner.id for deployment in db.deployments.on_vm(tx, vm.id)}
        engine.prune_networks([network(portal.settings, owner)[0] for owner in (*owners, "verify")])
    except EngineError as error:
        log.warning("networks_not_removed", vm=vm.name, code=error.code, cause=error.cause)


def _settle(portal: Portal, seen: Deployment, status: ContainerStatus | None) -> None:
    """Record why a deployment stopped that was running before and whose container is not."""
    if status is not None and status.running:
        return
    reason = _reason(status)
    now = portal.now()
    with portal.database.transaction() as tx:
        current = db.deployments.by_id(tx, seen.id)
        if current is None or (current.state, current.updated_at) != (seen.state, seen.updated_at):
            return  # it changed meanwhile; the next probe will see
        db.deployments.update(
            tx,
            seen.id,
            state=State.STOPPED,
            stop_reason=reason,
            stopped_at=now,
            updated_at=now,
            gpu_uuids=None,
        )
        db.leases.release(tx, seen.id, now, db.leases.RUN)
        db.audit.append(
            tx,
            now,
            "worker",
            f"deployment.{State.STOPPED}",
            f"deployment:{seen.id}",
            stop_reason=reason,
            exit_code=status.exit_code if status else None,
        )
    portal.wake()  # somebody may wait for what it held


def _reason(status: ContainerStatus | None) -> StopReason:
    if status is None:
        return StopReason.CONTAINER_GONE
    return StopReason.OUT_OF_MEMORY if status.out_of_memory else StopReason.EXIT_CODE


def _is_orphan(portal: Portal, deployment_id: str) -> bool:
    """Whether a container has no live row: rows come before containers, so nobody wants it."""
    with portal.database.reading() as tx:
        deployment = db.deployments.by_id(tx, deployment_id)
    return deployment is None or deployment.state in UNWANTED
