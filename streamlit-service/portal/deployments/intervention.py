"""What others do to somebody's deployment: stop it, give up on it, end all of a lost VM."""

from __future__ import annotations

from collections.abc import Hashable

from portal import db, vms
from portal.context import Portal
from portal.core.errors import Conflict, Forbidden
from portal.core.models import Deployment, Failure, State, StopReason, Vm
from portal.core.people import Actor
from portal.core.reasons import check_reason
from portal.db import Tx
from portal.db.columns import NOT_WAITING, DeploymentColumns
from portal.deployments import lifecycle, service
from portal.deployments.past import Event, of_deployment
from portal.deployments.transition import change
from portal.users import entry, permissions

SERVICE = "the VM is being serviced on Friday; start it again on Monday."
HELP = "you asked for help: its kernel did not answer."
SHARED = "others of the group need its GPUs until Friday."
"""What a reason may be, for who gave none."""
SETTLED = (State.STOPPED, State.FAILED, State.REMOVED)


def stop(portal: Portal, actor: Actor, deployment_id: str, reason: str) -> Deployment:
    """Stop anybody's deployment; its owner reads the reason. Conflict when it cannot be stopped."""
    who, note = permissions.administrator(actor), check_reason(reason, SERVICE)
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        stopped = ask_to_stop(portal, tx, who, _known(tx, deployment_id), note)
    portal.wake()
    return stopped


def act(portal: Portal, actor: Actor, deployment_id: str, action: str, reason: str) -> Deployment:
    """Start, restart or remove anybody's deployment for them; its owner reads the reason.

    It counts for its owner, whose quota holds. Conflict when it cannot be now.
    """
    who, note = permissions.administrator(actor), check_reason(reason, HELP)
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        done = _act(portal, tx, _known(tx, deployment_id), action, who=who, note=note)
    portal.wake()
    return done


def act_in_group(
    portal: Portal, actor: Actor, group: str, deployment_id: str, action: str, reason: str
) -> Deployment:
    """As act(), for who leads the group that the deployment counts for. NotFound for others."""
    who, note = permissions.check_leads(actor, group), check_reason(reason, HELP)
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        before = _of_group(tx, group, deployment_id)
        done = _act(portal, tx, before, action, who=who, note=note, reason=StopReason.LEAD)
    portal.wake()
    return done


def _act(
    portal: Portal,
    tx: Tx,
    before: Deployment,
    action: str,
    *,
    who: str,
    note: str,
    reason: StopReason = StopReason.ADMIN,
) -> Deployment:
    owner = db.users.by_id(tx, before.owner.id) or before.owner
    entry.check(portal, owner)
    if action != "remove":
        permissions.check_may_act(owner)
    by = service.Other(note, reason)
    return service.carry_out(portal, tx, owner, before, action, who=who, by=by)


def events(portal: Portal, actor: Actor, deployment_id: str) -> list[Event]:
    """What happened to anybody's deployment, the newest first."""
    permissions.reader(actor)
    with portal.database.reading() as tx:
        return of_deployment(tx, _known(tx, deployment_id))


def log_of(portal: Portal, actor: Actor, deployment_id: str, reason: str) -> Deployment:
    """Anybody's deployment, whose log is about to be read; its owner reads by whom, and why.

    Forbidden unless PORTAL_ADMINS_READ_LOGS lets administrators: logs show what people work on.
    """
    who = permissions.administrator(actor)
    if not portal.settings.admins_read_logs:
        raise Forbidden(
            "logs_are_private",
            "The logs of other people's containers are theirs.",
            "Ask the owner for it; PORTAL_ADMINS_READ_LOGS changes this for all.",
        )
    note = check_reason(reason, HELP)
    with portal.database.transaction() as tx:
        read = _known(tx, deployment_id)
        about = f"deployment:{read.id}"
        db.audit.append(tx, portal.now(), who, "deployment.log_read", about, reason=note)
    return read


def stop_in_group(
    portal: Portal, actor: Actor, group: str, deployment_id: str, reason: str
) -> Deployment:
    """As stop(), for who leads the group that the deployment counts for. NotFound for others."""
    who, note = permissions.check_leads(actor, group), check_reason(reason, SHARED)
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        before = _of_group(tx, group, deployment_id)
        stopped = ask_to_stop(portal, tx, who, before, note, StopReason.LEAD)
    portal.wake()
    return stopped


def of_group(portal: Portal, actor: Actor, group: str) -> list[Deployment]:
    """All that counts for a group and is not removed, for who leads it; the oldest first."""
    permissions.check_sees_group(actor, group)
    with portal.database.reading() as tx:
        return db.deployments.of_group(tx, group)


def events_in_group(portal: Portal, actor: Actor, group: str, deployment_id: str) -> list[Event]:
    """As events(), for who leads the group that the deployment counts for. NotFound for others."""
    permissions.check_sees_group(actor, group)
    with portal.database.reading() as tx:
        return of_deployment(tx, _of_group(tx, group, deployment_id))


def ask_to_stop(
    portal: Portal,
    tx: Tx,
    who: str,
    before: Deployment,
    note: str,
    reason: StopReason = StopReason.ADMIN,
) -> Deployment:
    """Record that somebody else wants a deployment stopped. Conflict when it cannot be."""
    after = lifecycle.intent("stop", before.state, restarting=before.restart_after_stop)
    columns: DeploymentColumns = {
        "restart_after_stop": False,
        "stop_reason": reason,
        "stop_note": note,
        "stopped_at": portal.now() if after is State.STOPPED else before.stopped_at,
        **NOT_WAITING,
    }
    details = {"request": "stop", "reason": note}
    change(tx, portal.now(), who, before, after, details, **columns)
    return _known(tx, before.id)


def give_up(portal: Portal, actor: Actor, deployment_id: str, reason: str) -> Deployment:
    """End a stop or removal that does not succeed: its owner gets back all but the GPUs.

    Those are held until its container is seen to be gone, or its VM is removed. Conflict while
    nothing keeps it from succeeding.
    """
    who, note = permissions.administrator(actor), check_reason(reason, SERVICE)
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        before = _known(tx, deployment_id)
        if before.state not in lifecycle.ENDING or before.trouble is None:
            raise Conflict(
                "not_stuck",
                f"{before.name} of {before.owner.display_name} is not stuck: it is {before.state}.",
                "Stop or remove it first; give up only if that does not succeed.",
            )
        removed = before.state is State.REMOVING
        after = State.REMOVED if removed else State.FAILED
        failure = Failure(
            "given_up",
            f"It could not be stopped, and an administrator gave up on it: {note}",
            "Its processes may keep running for a while. Start it again later, or remove it.",
        )
        columns: DeploymentColumns = {"slot": None, "gpu_uuids": None, "restart_after_stop": False}
        if not removed:
            columns["failure"] = vars(failure)
        details = {"request": "give up", "reason": note}
        change(tx, portal.now(), who, before, after, details, **columns)
        db.leases.release(tx, before.id, portal.now(), db.leases.ALL_BUT_GPUS)
        ended = db.deployments.by_id(tx, deployment_id) or before
    portal.wake()
    return ended


def remove_lost_vm(portal: Portal, actor: Actor, name: str, reason: str) -> list[Deployment]:
    """Take a VM that will not come back out of the fleet; what was on it is stopped, and returned.

    Everything it held is free again. Should the VM come back, its containers are removed before it
    takes anything.
    """
    who, note, ended = permissions.administrator(actor), check_reason(reason, SERVICE), []

    def end(tx: Tx, vm: Vm) -> None:
        details = {"vm": vm.name, "reason": note, "stop_reason": StopReason.VM_LOST}
        for before in db.deployments.on_vm(tx, vm.id):
            if before.state is State.WAITING or before.state in SETTLED:
                continue
            removed = before.state is State.REMOVING
            columns: DeploymentColumns = {
                "gpu_uuids": None,
                "restart_after_stop": False,
                "progress": None,
                "stopped_at": portal.now(),
                "stop_reason": StopReason.VM_LOST,
                "stop_note": note,
            }
            if removed:
                columns["slot"] = None
            after = State.REMOVED if removed else State.STOPPED
            change(tx, portal.now(), who, before, after, details, **columns)
            db.leases.release(tx, before.id, portal.now(), None if removed else db.leases.RUN)
            ended.append(db.deployments.by_id(tx, before.id) or before)
        for deployment_id in db.leases.left_over(tx, vm.id):
            db.leases.release(tx, deployment_id, portal.now(), (db.leases.GPU,))

    vms.remove_lost(portal, actor, name, note, end)
    return ended


def everybody(portal: Portal, actor: Actor, *, stopped: bool = False) -> list[Deployment]:
    """Every deployment that holds something or waits, for administrators; the oldest first.

    With `stopped` also those that hold nothing and can be started again.
    """
    permissions.reader(actor)
    with portal.database.reading() as tx:
        found = [*db.deployments.live(tx), *db.deployments.waiting(tx)]
        found += db.deployments.ended(tx) if stopped else []
    return list({each.id: each for each in found}.values())  # one that failed may hold its GPUs yet


def stamp(portal: Portal, actor: Actor) -> Hashable:
    """What differs when everybody() says something else."""
    permissions.reader(actor)
    with portal.database.reading() as tx:
        return db.deployments.stamp_of_all(tx)


def troubled(tx: Tx) -> list[Deployment]:
    """Those whose start, stop or removal does not succeed, or that are paused; longest first."""
    found = db.deployments.troubled(tx, lifecycle.WORK | {State.RUNNING})
    return [each for each in found if each.trouble and each.trouble.code != "killed_for_memory"]


def stuck(portal: Portal, actor: Actor) -> list[Deployment]:
    """As troubled(), for administrators."""
    permissions.reader(actor)
    with portal.database.reading() as tx:
        return troubled(tx)


def _known(tx: Tx, deployment_id: str) -> Deployment:
    deployment = db.deployments.by_id(tx, deployment_id)
    if deployment is None or deployment.state is State.REMOVED:
        raise permissions.no_such_deployment("Its id is in: admin.py deployment list")
    return deployment


def _of_group(tx: Tx, group: str, deployment_id: str) -> Deployment:
    deployment = _known(tx, deployment_id)
    if deployment.group != group:
        raise permissions.no_such_deployment("Those of the group are listed with it.")
    return deployment
