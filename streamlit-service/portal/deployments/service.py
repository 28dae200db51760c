"""The use cases of a deployment. They only write intent; the worker changes containers."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import structlog

from portal import db, users
from portal.context import Portal
from portal.core import ports
from portal.core.errors import Conflict, Invalid, NoCapacity
from portal.core.models import Deployment, Order, Release, State, StopReason, Vm
from portal.core.people import Role, User
from portal.db.columns import NOT_WAITING, UNLOCKED, DeploymentColumns
from portal.db.connection import Tx
from portal.deployments import lifecycle, slots
from portal.deployments.order import check_order
from portal.deployments.transition import removal
from portal.images import launch_gate
from portal.scheduling import admission, quotas
from portal.scheduling.queue import Decision
from portal.users import permissions, ranges

log = structlog.get_logger()


def request(portal: Portal, user: User, order: Order) -> Deployment:
    """Record an order as a pending or waiting deployment, with its leases, and wake the worker.

    Raises PortalError of the kind that says why not; then nothing is recorded.
    """
    now, deployment_id = portal.now(), uuid.uuid4().hex[:12]
    order = replace(order, group=users.chosen(user, order.group))
    try:
        with portal.database.transaction() as tx:
            deployment = _reserve(portal, tx, user, order, deployment_id, now)
    except db.Taken as taken:
        raise _just_taken(order.name, taken) from taken
    _log_request("deploy", deployment)
    portal.wake()
    return deployment


def _log_request(action: str, deployment: Deployment) -> None:
    log.info(
        "deployment_requested",
        action=action,
        deployment=deployment.id,
        user=deployment.owner.subject,
        state=deployment.state,
    )


def _reserve(
    portal: Portal, tx: Tx, user: User, order: Order, deployment_id: str, now: datetime
) -> Deployment:
    db.serialize_writers(tx)
    release = _check(portal, tx, user, order)
    user = ranges.give(portal, tx, user)
    _check_served(portal, user)
    decision = admission.evaluate(portal, tx, user, order)
    placed = decision.placement
    slot = slots.choose(tx, user, placed.vm if placed else None, now)
    columns, outcome = _outcome(decision, now)
    row: DeploymentColumns = {
        "id": deployment_id,
        "name": order.name,
        "owner_id": user.id,
        "group": order.group,
        "release_id": release.id,
        "slot": slot,
        "gpus": order.gpus,
        "gpu_model": order.gpu_model,
        "memory_gb": order.memory_gb,
        "cpus": order.cpus,
        "ssh": order.ssh,
        "jupyter_token": secrets.token_urlsafe(32),
        "restart_after_stop": False,
        "created_at": now,
        "updated_at": now,
        **columns,
    }
    db.deployments.insert(tx, **row)
    slots.lease(tx, user, deployment_id, slot, ssh=order.ssh, now=now)
    if placed:
        admission.lease(tx, deployment_id, placed, now)
    details = vars(order) | {"release": release.reference, "slot": slot} | outcome
    _record(tx, user, deployment_id, columns["state"], now, details)
    return _get(tx, deployment_id)


def _outcome(decision: Decision, now: datetime) -> tuple[DeploymentColumns, dict[str, Any]]:
    """Start at once or join the queue: the columns, and what the audit event says of it."""
    placed = decision.placement
    if placed:
        return admission.starting(placed, now), {
            "vm": placed.vm.name,
            "gpu_uuids": list(placed.gpus),
        }
    return admission.waiting(decision, now), {
        "position": decision.position,
        "waits_for": decision.waits_for,
    }


def _record(
    tx: Tx, user: User, deployment_id: str, state: State, now: datetime, details: dict[str, Any]
) -> None:
    """The one audit event of a change of state."""
    action, subject = f"deployment.{state}", f"deployment:{deployment_id}"
    db.audit.append(tx, now, user.subject, action, subject, **details)


def _check(portal: Portal, tx: Tx, user: User, order: Order) -> Release:
    """Check what needs no free capacity: the release, the order itself, the quotas."""
    release = _approved(portal, tx, order.image)
    check_order(order)
    quotas.check(portal, tx, user, order, new=True)
    return release


def _check_served(portal: Portal, user: User) -> None:
    """A setting may have changed since the range was given."""
    span = ports.range_of(user.own_range)
    if span[0] not in portal.settings.served_ports or span[-1] not in portal.settings.served_ports:
        raise NoCapacity(
            "ports_not_served",
            "You cannot deploy yet: the portal does not serve your ports.",
            f"Contact {portal.settings.help_contact} and mention PORTAL_USER_PORTS"
            f" ({span[0]}-{span[-1]}).",
        )


def _approved(portal: Portal, tx: Tx, image: str) -> Release:
    release = db.releases.approved(tx).get(image) if image in portal.catalog else None
    if release is None:
        known = ", ".join(sorted(set(db.releases.approved(tx)) & set(portal.catalog))) or "none yet"
        raise Invalid(
            "unknown_image",
            f"There is no approved image named {image[:60]!r}.",
            f"Approved images: {known}.",
        )
    launch_gate.check(portal.settings, release, portal.now())
    return release


def mine(portal: Portal, user: User) -> list[Deployment]:
    """The user's deployments, newest first, removed ones left out."""
    with portal.database.reading() as tx:
        return db.deployments.of_user(tx, user.id)


def get(portal: Portal, user: User, deployment_id: str) -> Deployment:
    """One deployment of the user. NotFound when there is none or it is somebody else's."""
    with portal.database.reading() as tx:
        deployment = db.deployments.by_id(tx, deployment_id)
    if deployment is None:
        raise permissions.no_such_deployment()
    permissions.check_owner(user, deployment)
    return deployment


def latest(portal: Portal, deployment: Deployment) -> Deployment | None:
    """The deployment as it is now; whoever has it was allowed to see it."""
    with portal.database.reading() as tx:
        return db.deployments.by_id(tx, deployment.id)


def waiting(portal: Portal, user: User) -> tuple[list[Deployment], int]:
    """The queue as a user may see it, and how long all of it is."""
    with portal.database.reading() as tx:
        queue = db.deployments.waiting(tx)
    everybody = user.role is Role.ADMIN
    return [deployment for deployment in queue if everybody or deployment.owner.id == user.id], len(
        queue
    )


def act(portal: Portal, user: User, deployment_id: str, action: str) -> Deployment:
    """Record a person's request: stop, start, restart or remove. Conflict when it cannot be now."""
    now = portal.now()
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        before = db.deployments.by_id(tx, deployment_id)
        if before is None or before.state is State.REMOVED:
            raise permissions.no_such_deployment()
        permissions.check_owner(user, before)
        after = lifecycle.intent(action, before.state, restarting=before.restart_after_stop)
        if action == "restart":  # refused now, while it still runs, rather than once it is down
            launch_gate.check(portal.settings, before.release, now)
        if action == "start":
            columns, details = _start(portal, tx, user, before, now)
        else:
            columns, details = _end(tx, before, after, now)
        changes: DeploymentColumns = {
            "restart_after_stop": action == "restart",
            "failure": None,
            "trouble": None,
            "progress": None,
            "stop_reason": StopReason.USER if action == "stop" else None,
            "stop_note": None,
            "updated_at": now,
            **UNLOCKED,
            **NOT_WAITING,
            **columns,
        }
        db.deployments.update(tx, deployment_id, **changes)
        _record(tx, user, deployment_id, columns["state"], now, {"request": action, **details})
        deployment = _get(tx, deployment_id)
    _log_request(action, deployment)
    portal.wake()
    return deployment


def _start(
    portal: Portal, tx: Tx, user: User, before: Deployment, now: datetime
) -> tuple[DeploymentColumns, dict[str, Any]]:
    """Start a stopped deployment, which gave up its leases, on the VM that has its home."""
    launch_gate.check(portal.settings, before.release, now)
    if db.leases.holds(tx, before.id, db.leases.GPU):
        raise Conflict(
            "container_left",
            f"The previous container of {before.name} is still on its VM, and may still be using"
            " its GPUs.",
            f"Try again in a few minutes; if this persists, tell {portal.settings.help_contact}.",
        )
    order = before.order
    if order.group not in user.groups:  # they have left it
        order = replace(order, group=user.group)
        db.deployments.update(tx, before.id, group=order.group)
    quotas.check(portal, tx, user, order, new=False)
    user = ranges.give(portal, tx, user)
    decision = admission.evaluate(portal, tx, user, order, before.vm)
    columns, details = _outcome(decision, now)
    if before.slot is None:  # it failed, and gave its ports back too
        placed = decision.placement
        slot = slots.choose(tx, user, placed.vm if placed else None, now)
        slots.lease(tx, user, before.id, slot, ssh=before.ssh, now=now)
        columns["slot"] = slot
    if decision.placement:
        admission.lease(tx, before.id, decision.placement, now)
    return columns, details


def _end(
    tx: Tx, before: Deployment, after: State, now: datetime
) -> tuple[DeploymentColumns, dict[str, Any]]:
    """Stop, restart or remove. Where nothing runs there is nothing for the worker to do."""
    if after is State.REMOVING:
        removed, columns = removal(tx, now, before)
        return {"state": removed, **columns}, {}
    if after is State.STOPPED:
        return {"state": after, "stopped_at": now}, {}
    return {"state": after}, {}


def _get(tx: Tx, deployment_id: str) -> Deployment:
    deployment = db.deployments.by_id(tx, deployment_id)
    assert deployment is not None
    return deployment


@dataclass(frozen=True)
class Preview:
    """What an order would lead to if it were placed now.

    Without a VM it would wait at `position`.
    """

    jupyter_port: int
    vm: Vm | None
    why: str
    position: int = 0
    waits_for: str = ""
    home_here: bool = False
    home_elsewhere: str = ""
    """The VM that has the user's home folder, when this is another."""
    image_there: bool = False
    download_bytes: int = 0
    """Of the image, where it is not there; 0: unknown."""
    usual_s: float | None = None
    """How long half of the last starts of the image took at most."""


def preview(portal: Portal, user: User, order: Order) -> Preview:
    """The same checks and the same placement as request(), recording nothing.

    Raises what it would.
    """
    order = replace(order, group=users.chosen(user, order.group))
    with portal.database.reading() as tx:
        _check(portal, tx, user, order)
        user = ranges.choose(portal, tx, user)
        _check_served(portal, user)
        if order.name in {d.name for d in db.deployments.of_user(tx, user.id)}:
            raise _name_taken(order.name)
        decision = admission.evaluate(portal, tx, user, order)
        placed = decision.placement
        slot = slots.choose(tx, user, placed.vm if placed else None, portal.now())
        homes = db.deployments.homes(tx, {user.id}).get(user.id, frozenset())
        names = {vm.id: vm.name for vm in db.vms.all_vms(tx)}
        release = _approved(portal, tx, order.image)
        there = db.releases.vms_with(tx).get(release.id, set())
        usual = usual_start_s(tx, release.id)
    port = ports.port_of(user.own_range, slot, ports.Service.JUPYTER)
    if placed is None:
        return Preview(port, None, "", decision.position, decision.waits_for)
    others = [names[vm_id] for vm_id in homes if vm_id in names and vm_id != placed.vm.id]
    return Preview(
        port,
        placed.vm,
        placed.why,
        home_here=placed.vm.id in homes,
        home_elsewhere="" if placed.vm.id in homes else ", ".join(others),
        image_there=placed.vm.id in there,
        download_bytes=release.download_bytes or 0,
        usual_s=usual,
    )


def usual_start_s(tx: Tx, release_id: int) -> float | None:
    """How long half of its last starts took at most, in seconds; None before the first."""
    took = sorted(db.deployments.last_starts_s(tx, release_id))
    return took[len(took) // 2] if took else None


def _name_taken(name: str, cause: str = "") -> Conflict:
    hint = "Choose another name, or remove the old one first."
    return Conflict("name_taken", f"You already have a container named {name}.", hint, cause)


def _just_taken(name: str, taken: db.Taken) -> Conflict:
    if taken.index == db.NAME_INDEX:
        return _name_taken(name, str(taken))
    return Conflict(
        "just_taken",
        "Somebody else took those resources a moment ago.",
        "Try again: the page now shows what is still free.",
        str(taken),
    )
