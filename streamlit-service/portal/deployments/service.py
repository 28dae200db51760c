"""The use cases of a deployment. They only write intent; the worker changes containers."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy.exc import IntegrityError

from portal import db
from portal.context import Portal
from portal.core import ports
from portal.core.errors import Conflict, Invalid, NoCapacity
from portal.core.models import Deployment, Order, Release, State, User, Vm, VmState
from portal.db.connection import Tx
from portal.deployments import lifecycle
from portal.images import launch_gate
from portal.scheduling import admission, placement, quotas
from portal.scheduling.queue import Verdict
from portal.users import permissions

NAME_INDEX = ("one_live_name_per_owner", "deployments.owner_id, deployments.name")
"""How PostgreSQL and SQLite name the index in their errors."""

log = structlog.get_logger()


def request(portal: Portal, user: User, order: Order) -> Deployment:
    """Record an order as a pending deployment, with its port leases, and wake the worker.

    Raises PortalError of the kind that says why not; then nothing is recorded.
    """
    now, deployment_id = portal.now(), uuid.uuid4().hex[:12]
    try:
        with portal.database.transaction() as tx:
            made = _reserve(portal, tx, user, order, deployment_id, now)
    except IntegrityError as error:  # the indexes' last word
        raise _just_taken(order.name, str(error.orig)) from error
    log.info("wish", action="deploy", deployment=made.id, user=user.subject, state=made.state)
    portal.wake()
    return made


def _reserve(
    portal: Portal, tx: Tx, user: User, order: Order, deployment_id: str, now: datetime
) -> Deployment:
    db.serialize_writers(tx)
    release = _check(portal, tx, user, order)
    verdict = admission.judge(portal, tx, user, order)
    slot = placement.choose_slot(db.leases.slots(tx, user.id))
    db.deployments.insert(
        tx,
        id=deployment_id,
        name=order.name,
        state=State.WAITING,
        owner_id=user.id,
        release_id=release.id,
        slot=slot,
        gpus=order.gpus,
        gpu_model=order.gpu_model,
        memory_gb=order.memory_gb,
        cpus=order.cpus,
        ssh=order.ssh,
        jupyter_token=secrets.token_urlsafe(32),
        restart_after_stop=False,
        created_at=now,
        updated_at=now,
    )
    _lease_ports(tx, user, deployment_id, slot, ssh=order.ssh, now=now)
    details = vars(order) | {"release": release.reference, "slot": slot}
    _enter(tx, user, deployment_id, verdict, now, **details)
    return _get(tx, deployment_id)


def _enter(
    tx: Tx, user: User, deployment_id: str, verdict: Verdict, now: datetime, **details: Any
) -> None:
    """Start at once, or stand in line: one change of state, one audit event."""
    if verdict.placement:
        values = admission.grant(tx, deployment_id, verdict.placement, now)
        details |= {"vm": verdict.placement.vm.name, "gpu_uuids": list(verdict.placement.gpus)}
    else:
        values = {
            "state": State.WAITING,
            "waiting_since": now,
            "waits_for": verdict.waits_for,
            "position": verdict.position,
        }
        details |= {"position": verdict.position, "waits_for": verdict.waits_for}
    db.deployments.update(tx, deployment_id, updated_at=now, **values)
    db.audit.append(
        tx,
        now,
        user.subject,
        f"deployment.{values['state']}",
        f"deployment:{deployment_id}",
        **details,
    )


def _check(portal: Portal, tx: Tx, user: User, order: Order) -> Release:
    """Check what needs no free capacity: the release, the order itself, the quotas."""
    release = _approved(portal, tx, order.image)
    permissions.check_order(order)
    span = ports.range_of(user.range_index)
    if span[0] not in portal.settings.served_ports or span[-1] not in portal.settings.served_ports:
        raise NoCapacity(
            "ports_not_served",
            f"The gateway does not serve your ports {span[0]}-{span[-1]} yet.",
            f"Tell {portal.settings.help_contact}: PORTAL_USER_PORTS must reach {span[-1]}.",
        )
    quotas.check(portal, tx, user, order, new=True)
    return release


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


def _lease_ports(
    tx: Tx, user: User, deployment_id: str, slot: int, *, ssh: bool, now: datetime
) -> None:
    numbers = ports.slot_ports(user.range_index, slot, ssh=ssh).values()
    db.leases.acquire(tx, db.leases.PORT, [str(port) for port in numbers], deployment_id, now)


def mine(portal: Portal, user: User) -> list[Deployment]:
    """The user's deployments, newest first, removed ones left out."""
    with portal.database.reading() as tx:
        return db.deployments.of_user(tx, user.id)


def get(portal: Portal, user: User, deployment_id: str) -> Deployment:
    """One deployment of the user. NotFound when there is none or it is somebody else's."""
    with portal.database.reading() as tx:
        found = db.deployments.by_id(tx, deployment_id)
    if found is None:
        raise permissions.not_found()
    permissions.check_owner(user, found)
    return found


def act(portal: Portal, user: User, deployment_id: str, action: str) -> Deployment:
    """Record a person's wish: stop, start, restart or remove. Conflict when it cannot be now."""
    now = portal.now()
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        before = db.deployments.by_id(tx, deployment_id)
        if before is None or before.state is State.REMOVED:
            raise permissions.not_found()
        permissions.check_owner(user, before)
        after = lifecycle.intent(action, before.state)
        if action == "restart":  # refused now, while it still runs, rather than once it is down
            launch_gate.check(portal.settings, before.release, now)
        # Taking the lock away makes whoever works on the old intent drop it at the next write.
        db.deployments.update(
            tx,
            deployment_id,
            restart_after_stop=action == "restart",
            lock_token=None,
            lock_expires_at=None,
            failure=None,
            progress=None,
            stop_reason="user" if action == "stop" else None,
            **admission.NOBODY_WAITS,
        )
        if action == "start":
            _start(portal, tx, user, before, now)
        else:
            _end(tx, user, before, after, action, now)
        made = _get(tx, deployment_id)
    log.info("wish", action=action, deployment=made.id, user=user.subject, state=made.state)
    portal.wake()
    return made


def _start(portal: Portal, tx: Tx, user: User, before: Deployment, now: datetime) -> None:
    """Start a stopped deployment, which gave up its leases, on the VM that has its home."""
    launch_gate.check(portal.settings, before.release, now)
    order = admission.order_of(before)
    quotas.check(portal, tx, user, order, new=False)
    verdict = admission.judge(portal, tx, user, order, before.vm)
    if before.slot is None:  # it failed, and gave its ports back too
        slot = placement.choose_slot(db.leases.slots(tx, user.id))
        _lease_ports(tx, user, before.id, slot, ssh=before.ssh, now=now)
        db.deployments.update(tx, before.id, slot=slot)
    _enter(tx, user, before.id, verdict, now, wish="start")


def _end(tx: Tx, user: User, before: Deployment, after: State, action: str, now: datetime) -> None:
    """Stop, restart or remove. Where nothing runs there is nothing for the worker to do."""
    values: dict[str, Any] = {"stopped_at": now} if after is State.STOPPED else {}
    nowhere = before.vm is None or before.vm.state is VmState.REMOVED
    if nowhere and after is State.REMOVING:
        after, values = State.REMOVED, {"slot": None}
        db.leases.release(tx, before.id, now)
    db.deployments.update(tx, before.id, state=after, updated_at=now, **values)
    db.audit.append(
        tx, now, user.subject, f"deployment.{after}", f"deployment:{before.id}", wish=action
    )


def propose_name(image: str, taken: set[str]) -> str:
    """The first free name among image, image-2, image-3 and so on."""
    number = 1
    while (name := image if number == 1 else f"{image}-{number}") in taken:
        number += 1
    return name


def _get(tx: Tx, deployment_id: str) -> Deployment:
    found = db.deployments.by_id(tx, deployment_id)
    assert found is not None
    return found


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
    home_elsewhere: str = ""
    """The VM that has the user's home folder, when this is another."""


def preview(portal: Portal, user: User, order: Order) -> Preview:
    """The same checks and the same placement as request(), recording nothing.

    Raises what it would.
    """
    with portal.database.reading() as tx:
        _check(portal, tx, user, order)
        if order.name in {d.name for d in db.deployments.of_user(tx, user.id)}:
            raise _name_taken(order.name)
        verdict = admission.judge(portal, tx, user, order)
        slot = placement.choose_slot(db.leases.slots(tx, user.id))
        homes = db.deployments.homes(tx, {user.id}).get(user.id, frozenset())
        names = {vm.id: vm.name for vm in db.vms.all_vms(tx)}
    port = ports.port_of(user.range_index, slot, ports.Service.JUPYTER)
    placed = verdict.placement
    if placed is None:
        return Preview(port, None, "", verdict.position, verdict.waits_for)
    others = [names[vm_id] for vm_id in homes if vm_id in names and vm_id != placed.vm.id]
    return Preview(
        port,
        placed.vm,
        placed.why,
        home_elsewhere="" if placed.vm.id in homes else ", ".join(others),
    )


def _name_taken(name: str, cause: str = "") -> Conflict:
    hint = "Choose another name, or remove the old one first."
    return Conflict("name_taken", f"You already have a container named {name}.", hint, cause)


def _just_taken(name: str, cause: str) -> Conflict:
    if any(sign in cause for sign in NAME_INDEX):
        return _name_taken(name, cause)
    return Conflict(
        "just_taken",
        "Somebody took that a moment ago.",
        "Try again: what is free is shown anew.",
        cause,
    )
