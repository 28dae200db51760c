"""The use cases of a deployment. They only write intent; the worker changes containers."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.exc import IntegrityError

from portal import audit, lifecycle, placement, policy, ports, store
from portal.context import Portal
from portal.errors import Conflict, Invalid
from portal.models import Deployment, Order, Release, State, User
from portal.store import Tx


def request(portal: Portal, user: User, order: Order) -> Deployment:
    """Record an order as a pending deployment, with its port leases, and wake the worker.

    Raises PortalError of the kind that says why not; then nothing is recorded.
    """
    now, deployment_id = portal.now(), uuid.uuid4().hex[:12]
    try:
        with portal.store.transaction() as tx:
            made = _reserve(portal, tx, user, order, deployment_id, now)
    except IntegrityError as error:
        raise _name_taken(order.name, str(error)) from error
    portal.wake()
    return made


def _reserve(portal: Portal, tx: Tx, user: User, order: Order, deployment_id: str, now: datetime) -> Deployment:
    release = _approved(portal, tx, order.image)
    mine = store.deployments_of(tx, user.id)
    policy.check_order(order, policy.limits_for(portal.settings, user), live=len(mine))
    vm = placement.choose_vm(order, user, store.all_vms(tx), store.loads(tx))
    slot = placement.choose_slot(store.held_slots(tx, user.id))
    store.insert_deployment(
        tx, id=deployment_id, name=order.name, state=State.PENDING, owner_id=user.id, vm_id=vm.id,
        release_id=release.id, slot=slot, gpus=order.gpus, memory_gb=order.memory_gb, cpus=order.cpus,
        jupyter_token=secrets.token_urlsafe(32), restart_after_stop=False, created_at=now, updated_at=now,
    )  # fmt: skip
    _lease_ports(tx, user, deployment_id, slot, now)
    audit.append(tx, now, user.subject, "deployment.pending", f"deployment:{deployment_id}", name=order.name,
                 image=order.image, release=release.reference, vm=vm.name, gpus=order.gpus,
                 memory_gb=order.memory_gb, cpus=order.cpus, slot=slot)  # fmt: skip
    return _get(tx, deployment_id)


def _approved(portal: Portal, tx: Tx, image: str) -> Release:
    release = store.approved_releases(tx).get(image) if image in portal.catalog else None
    if release is None:
        known = ", ".join(sorted(set(store.approved_releases(tx)) & set(portal.catalog))) or "none yet"
        raise Invalid("unknown_image", f"There is no approved image named {image[:60]!r}.",
                      f"Approved images: {known}.")  # fmt: skip
    return release


def _lease_ports(tx: Tx, user: User, deployment_id: str, slot: int, now: datetime) -> None:
    numbers = ports.slot_ports(user.range_index, slot).values()
    store.lease(tx, "port", [str(port) for port in numbers], deployment_id, now)


def mine(portal: Portal, user: User) -> list[Deployment]:
    """The user's deployments, newest first, removed ones left out."""
    with portal.store.reading() as tx:
        return store.deployments_of(tx, user.id)


def get(portal: Portal, user: User, deployment_id: str) -> Deployment:
    """One deployment of the user. NotFound when there is none or it is somebody else's."""
    with portal.store.reading() as tx:
        found = store.deployment(tx, deployment_id)
    if found is None:
        raise policy.not_found()
    policy.check_owner(user, found)
    return found


def act(portal: Portal, user: User, deployment_id: str, action: str) -> Deployment:
    """Record a person's wish: stop, start, restart or remove. Conflict when it cannot be now."""
    now = portal.now()
    with portal.store.transaction() as tx:
        before = store.deployment(tx, deployment_id)
        if before is None or before.state is State.REMOVED:
            raise policy.not_found()
        policy.check_owner(user, before)
        after = lifecycle.intent(action, before.state)
        if action == "start":
            _check_room(tx, before)
        changes = _restart_slot(tx, user, before, now) if action == "start" else {}
        # Taking the lock away makes whoever works on the old intent drop it at the next write.
        store.update_deployment(
            tx, deployment_id, state=after, restart_after_stop=action == "restart", updated_at=now,
            lock_token=None, lock_expires_at=None, failure=None, progress=None,
            stop_reason="user" if action == "stop" else None, **changes,
        )  # fmt: skip
        audit.append(tx, now, user.subject, f"deployment.{after}", f"deployment:{deployment_id}", wish=action)
        made = _get(tx, deployment_id)
    portal.wake()
    return made


def _check_room(tx: Tx, before: Deployment) -> None:
    """A stopped deployment gave its memory back; starting asks for it again on the same VM (its home is there)."""
    order = Order(before.release.image, before.name, before.gpus, before.memory_gb, before.cpus)
    reason = placement.why_not(order, before.vm, store.loads(tx).get(before.vm.id, placement.Load()))
    if reason:
        raise Conflict("no_room", f"{before.vm.name}: {reason}.", "Stop another container, or try again later.")


def _restart_slot(tx: Tx, user: User, before: Deployment, now: datetime) -> dict[str, object]:
    """A failed deployment gave its ports back; it gets the lowest free slot again."""
    held = store.held_slots(tx, user.id)
    if before.state is not State.FAILED:
        return {}
    slot = placement.choose_slot(held)
    _lease_ports(tx, user, before.id, slot, now)
    return {"slot": slot}


def propose_name(image: str, taken: set[str]) -> str:
    """The first free name image, image-2, image-3 …"""
    number = 1
    while (name := image if number == 1 else f"{image}-{number}") in taken:
        number += 1
    return name


def _get(tx: Tx, deployment_id: str) -> Deployment:
    found = store.deployment(tx, deployment_id)
    assert found is not None
    return found


@dataclass(frozen=True)
class Preview:
    """What an order would lead to if it were placed now."""

    vm: str
    jupyter_port: int
    vm_free_memory_gb: float | None


def preview(portal: Portal, user: User, order: Order) -> Preview:
    """The same checks and the same placement as request(), recording nothing. Raises what it would."""
    with portal.store.reading() as tx:
        _approved(portal, tx, order.image)
        mine = store.deployments_of(tx, user.id)
        policy.check_order(order, policy.limits_for(portal.settings, user), live=len(mine))
        if order.name in {d.name for d in mine}:
            raise _name_taken(order.name)
        loads = store.loads(tx)
        vm = placement.choose_vm(order, user, store.all_vms(tx), loads)
        slot = placement.choose_slot(store.held_slots(tx, user.id))
    held = loads.get(vm.id, placement.Load()).memory_gb
    free = None if vm.memory_gb is None else max(vm.memory_gb - held, 0)
    return Preview(vm.name, ports.port_of(user.range_index, slot, ports.Service.JUPYTER), free)


def _name_taken(name: str, cause: str = "") -> Conflict:
    hint = "Choose another name, or remove the old one first."
    return Conflict("name_taken", f"You already have a container named {name}.", hint, cause)
