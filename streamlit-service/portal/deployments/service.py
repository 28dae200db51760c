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
from portal.core.models import Deployment, Order, Release, State, StopReason
from portal.core.people import User
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
    permissions.check_may_act(user)
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
    release = check_request(portal, tx, user, order)
    user = ranges.give(portal, tx, user)
    check_served(portal, user)
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
    _record(tx, user.subject, deployment_id, columns["state"], now, details)
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
    tx: Tx, who: str, deployment_id: str, state: State, now: datetime, details: dict[str, Any]
) -> None:
    """The one audit event of a change of state."""
    action, subject = f"deployment.{state}", f"deployment:{deployment_id}"
    db.audit.append(tx, now, who, action, subject, **details)


def check_request(portal: Portal, tx: Tx, user: User, order: Order) -> Release:
    """Check what needs no free capacity: the release, the order itself, the quotas."""
    release = approved(portal, tx, order.image)
    check_order(order)
    quotas.check(portal, tx, user, order, new=True)
    return release


def check_served(portal: Portal, user: User) -> None:
    """A setting may have changed since the range was given."""
    if not ranges.is_served(portal.settings, user.own_range):
        span = ports.range_of(user.own_range)
        raise NoCapacity(
            "ports_not_served",
            "You cannot deploy yet: the portal does not serve your ports.",
            f"Contact {portal.settings.help_contact} and mention PORTAL_USER_PORTS"
            f" ({span[0]}-{span[-1]}) and PORTAL_MORE_HOSTS"
            f" (address {ports.address_of(user.own_range) + 1}).",
        )


def approved(portal: Portal, tx: Tx, image: str) -> Release:
    """The release of an image that may start. Invalid where there is none."""
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
    everybody = permissions.reads_all(user)
    return [deployment for deployment in queue if everybody or deployment.owner.id == user.id], len(
        queue
    )


def act(portal: Portal, user: User, deployment_id: str, action: str) -> Deployment:
    """Record a person's request: stop, start, restart or remove. Conflict when it cannot be now."""
    permissions.check_may_act(user)
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        before = db.deployments.by_id(tx, deployment_id)
        if before is None or before.state is State.REMOVED:
            raise permissions.no_such_deployment()
        permissions.check_owner(user, before)
        deployment = carry_out(portal, tx, user, before, action, who=user.subject)
    _log_request(action, deployment)
    portal.wake()
    return deployment


@dataclass(frozen=True)
class Other:
    """Somebody else acts for the owner, who reads the note."""

    note: str
    reason: StopReason = StopReason.ADMIN


def carry_out(
    portal: Portal,
    tx: Tx,
    owner: User,
    before: Deployment,
    action: str,
    *,
    who: str,
    by: Other | None = None,
) -> Deployment:
    """Record what its owner wants, or somebody else for them."""
    now = portal.now()
    after = lifecycle.intent(action, before.state, restarting=before.restart_after_stop)
    if action == "restart":  # refused now, while it still runs, rather than once it is down
        launch_gate.check(portal.settings, before.release, now)
    if action == "start":
        columns, details = _start(portal, tx, owner, before, now)
    else:
        columns, details = _end(tx, before, after, now)
    reason = StopReason.USER if action == "stop" else None
    changes: DeploymentColumns = {
        "restart_after_stop": action == "restart",
        "failure": None,
        "trouble": None,
        "progress": None,
        "stop_reason": by.reason if by else reason,
        "stop_note": by.note if by else None,
        "updated_at": now,
        **UNLOCKED,
        **NOT_WAITING,
        **columns,
    }
    db.deployments.update(tx, before.id, **changes)
    said = {"reason": by.note} if by else {}
    _record(tx, who, before.id, columns["state"], now, {"request": action, **said, **details})
    return _get(tx, before.id)


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


def usual_start_s(tx: Tx, release_id: int) -> float | None:
    """How long half of its last starts took at most, in seconds; None before the first."""
    took = sorted(db.deployments.last_starts_s(tx, release_id))
    return took[len(took) // 2] if took else None


def name_taken(name: str, cause: str = "") -> Conflict:
    """The answer for a name that another container of theirs has."""
    hint = "Choose another name, or remove the old one first."
    return Conflict("name_taken", f"You already have a container named {name}.", hint, cause)


def _just_taken(name: str, taken: db.Taken) -> Conflict:
    if taken.index == db.NAME_INDEX:
        return name_taken(name, str(taken))
    return Conflict(
        "just_taken",
        "Somebody else took those resources a moment ago.",
        "Try again: the page now shows what is still free.",
        str(taken),
    )
