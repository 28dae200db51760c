"""User VMs: add, assign, drain and remove them; who may use which."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from portal import db, users
from portal.context import Portal
from portal.core.errors import Conflict, Invalid, NotFound
from portal.core.models import Vm, VmState
from portal.core.people import Actor, User
from portal.db import Tx
from portal.db.columns import VmColumns
from portal.users import permissions
from portal.users.permissions import SHARED_POOL
from portal.vms import addresses

ENGINE_BY_SSH = re.compile(
    r"ssh://(?:[\w.-]+@)?(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])"
    r"(?::\d{1,5})?",
    re.ASCII,
)
VM_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?")


def add(
    portal: Portal,
    actor: Actor,
    name: str,
    engine_url: str,
    address: str,
    owner: str | None = None,
    pool: str = SHARED_POOL,
    state: VmState = VmState.ACTIVE,
) -> Vm:
    """Add a VM to a pool, or for one user (by subject).

    Adding the same again changes nothing, not its state either.

    VmState.NEW: it takes no containers before activate(). Conflict for an owner who is retired.
    """
    _check_names(name, engine_url)
    who = permissions.administrator(actor)
    _check_address(address)
    users.check_group_name(pool)
    now = portal.now()
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        owner_id = users.known(tx, owner).id if owner is not None else None
        existing = db.vms.by_name(tx, name)
        place = (engine_url, address, owner_id, pool)
        if existing and place == _place(existing):
            return existing
        if existing:
            raise _name_taken(existing)
        _refuse_twice(tx, engine_url, address)
        _owner(tx, owner)
        db.vms.insert(tx, name, engine_url, address, owner_id, pool, state)
        db.audit.append(
            tx,
            now,
            who,
            "vm.added",
            f"vm:{name}",
            engine=engine_url,
            address=address,
            owner=owner,
            pool=pool,
        )
        vm = db.vms.by_name(tx, name)
    assert vm is not None
    portal.wake()
    return vm


def _check_names(name: str, engine_url: str) -> None:
    if not VM_NAME.fullmatch(name):
        raise Invalid(
            "bad_vm_name",
            f"{name[:60]!r} is not a host name.",
            "Use lowercase letters, digits, dots, hyphens.",
        )
    if not _is_engine(engine_url):
        raise Invalid(
            "bad_engine",
            f"{engine_url[:80]!r} is neither unix:///path nor ssh://user@host[:port].",
            "For example: ssh://portal@vm-07.",
        )


def _is_engine(url: str) -> bool:
    if url.startswith("unix:///"):
        return url.isprintable() and " " not in url
    try:
        port = urlsplit(url).port  # ValueError above 65535
    except ValueError:
        return False
    return bool(ENGINE_BY_SSH.fullmatch(url)) and port != 0


def _place(vm: Vm) -> tuple[str, str, int | None, str]:
    """What makes adding a VM again the same VM."""
    return vm.engine_url, vm.address, vm.owner_id, vm.pool


def _name_taken(vm: Vm) -> Conflict:
    whose = "somebody" if vm.owner_id else vm.pool
    return Conflict(
        "vm_exists",
        f"There is already a different VM named {vm.name}: "
        f"{vm.engine_url}, {vm.address}, {whose}'s.",
        "Choose another name, or change the one that is there: vm assign, vm remove.",
    )


def _refuse_twice(tx: Tx, engine_url: str, address: str) -> None:
    for other in db.vms.all_vms(tx):
        if addresses.same_door(other.engine_url, engine_url) or other.address == address:
            raise Conflict(
                "vm_twice",
                f"{other.name} is the same machine: {other.engine_url}, {other.address}.",
                "Its memory and GPUs would be given out twice. Use its name.",
            )


def set_up(
    portal: Portal,
    actor: Actor,
    name: str,
    engine_url: str,
    address: str | None,
    owner: str | None,
    pool: str | None,
) -> Vm:
    """Add a VM that is NEW until it is verified.

    One that is known keeps address, owner and pool where none is given, and its login.
    """
    with portal.database.reading() as tx:
        existing = db.vms.by_name(tx, name)
        owners = db.users.owners(tx, [existing] if existing else [])
    if existing and owner is None and pool is None:
        known_owner = owners.get(existing.owner_id or 0)
        owner, pool = known_owner.subject if known_owner else None, existing.pool
    if existing and addresses.same_door(existing.engine_url, engine_url):
        engine_url = existing.engine_url
    address = address or (existing.address if existing else None)
    if address is None:
        raise Invalid(
            "no_address", f"{name} is new, so its address is needed.", "Give it with --address."
        )
    return add(portal, actor, name, engine_url, address, owner, pool or SHARED_POOL, VmState.NEW)


@dataclass(frozen=True)
class VmUse:
    """A VM with its owner's name and subject, and what is held of it."""

    vm: Vm
    owner: User | None
    containers: int
    gpus: int
    leased_gpus: int
    held_memory_gb: float


def fleet(portal: Portal, actor: Actor) -> list[VmUse]:
    """Every VM and what is held of it, for administrators."""
    permissions.reader(actor)
    with portal.database.reading() as tx:
        vms = db.vms.all_vms(tx)
        owners = db.users.owners(tx, vms)
        live = Counter(
            deployment.vm.id for deployment in db.deployments.live(tx) if deployment.vm is not None
        )
        gpus, leased = db.gpus.all_gpus(tx), db.leases.gpus(tx)
        memory = db.leases.memory_by_vm(tx)
    all_gpus = Counter(gpu.vm_id for gpu in gpus)
    leased_gpus = Counter(gpu.vm_id for gpu in gpus if gpu.uuid in leased)
    return [
        VmUse(
            vm,
            owners.get(vm.owner_id or 0),
            live[vm.id],
            all_gpus[vm.id],
            leased_gpus[vm.id],
            memory.get(vm.id, 0.0),
        )
        for vm in vms
    ]


def eligible(portal: Portal, user: User) -> list[Vm]:
    """The VMs that a user may use."""
    with portal.database.reading() as tx:
        return permissions.eligible_vms(db.vms.all_vms(tx), user)


def _check_address(address: str) -> None:
    """Containers publish there and nowhere else: it must be one address of the VM."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        parsed = None
    if isinstance(parsed, ipaddress.IPv6Address):
        raise Invalid(
            "bad_address",
            f"{address[:60]} is an IPv6 address; containers publish by IPv4 only.",
            "Give the VM's internal IPv4 address.",
        )
    if parsed is None or parsed.is_unspecified or parsed.is_multicast or parsed.is_reserved:
        raise Invalid(
            "bad_address",
            f"{address[:60]!r} is not one address of a VM.",
            "Give the VM's internal IPv4 address; containers publish on it only.",
        )


def assign(
    portal: Portal, actor: Actor, name: str, *, owner: str | None = None, pool: str = SHARED_POOL
) -> Vm:
    """Dedicate a VM to a user (by subject), or put it into a pool. What runs on it goes on."""
    users.check_group_name(pool)

    def columns(tx: Tx) -> VmColumns:
        return {"owner_id": _owner(tx, owner), "pool": pool}

    return change(portal, actor, name, "assigned", columns)


def _owner(tx: Tx, subject: str | None) -> int | None:
    """The id of whoever is to own a VM. Conflict for somebody who is retired."""
    if subject is None:
        return None
    user = users.known(tx, subject)
    if user.retired_at:
        raise Conflict(
            "is_retired",
            f"{user.display_name} is retired and cannot use a VM.",
            "Restore them first, or choose somebody else.",
        )
    return user.id


def remove(portal: Portal, actor: Actor, name: str) -> None:
    """Take a VM out of the fleet.

    Conflict while containers live on it; stopped ones lose their place there.
    """

    def columns(tx: Tx) -> VmColumns:
        # In the transaction that removes it: an order that comes meanwhile finds it, or does not.
        _check_unused(tx, name)
        for deployment_id in db.leases.left_over(tx, known(tx, name).id):
            db.leases.release(tx, deployment_id, portal.now(), (db.leases.GPU,))
        return {"state": VmState.REMOVED}

    change(portal, actor, name, "removed", columns)


def remove_lost(
    portal: Portal, actor: Actor, name: str, reason: str, end: Callable[[Tx, Vm], None]
) -> None:
    """Take a VM out of the fleet that will not come back.

    `end` ends what is recorded there, in the same transaction. Conflict while the VM answers.
    """

    def columns(tx: Tx) -> VmColumns:
        vm = known(tx, name)
        if vm.reachable and vm.last_seen_at is not None:
            raise Conflict(
                "vm_answers",
                f"{name} answers, so it is not lost.",
                "Drain it, let its containers end or stop them, then remove it.",
            )
        end(tx, vm)
        return {"state": VmState.REMOVED}

    change(portal, actor, name, "lost", columns, reason=reason)


def _check_unused(tx: Tx, name: str) -> None:
    live = [
        deployment
        for deployment in db.deployments.live(tx)
        if deployment.vm is not None and deployment.vm.name == name
    ]
    if live:
        names = ", ".join(
            f"{deployment.name} of {deployment.owner.display_name}" for deployment in live[:5]
        )
        raise Conflict(
            "vm_in_use",
            f"{len(live)} of {name}'s containers are running: {names}.",
            "Drain it, then let them end or stop them.",
        )


def change(
    portal: Portal,
    actor: Actor,
    name: str,
    event: str,
    columns: Callable[[Tx], VmColumns],
    **details: str | None,
) -> Vm:
    """Change a VM and audit it; the worker then sees who waits for what can no longer come.

    The event says what was changed, by the names of Vm, and `details`.
    """
    who, now = permissions.administrator(actor), portal.now()
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        vm = known(tx, name)
        changes = columns(tx)
        if changes.get("state") is VmState.REMOVED:
            db.vms.remove(tx, vm.id)
        else:
            db.vms.update(tx, vm.id, **changes)
        after = replace(vm, **changes)
        said = db.audit.changed(_said(tx, vm, changes), _said(tx, after, changes)) | details
        db.audit.append(tx, now, who, f"vm.{event}", f"vm:{name}", **said)
    portal.wake()
    return after


def _said(tx: Tx, vm: Vm, names: Collection[str]) -> dict[str, Any]:
    """What an event says of these columns of a VM."""
    said = {name: getattr(vm, name) for name in names if name != "owner_id"}
    if "owner_id" in names:
        owner = db.users.by_id(tx, vm.owner_id) if vm.owner_id is not None else None
        said["owner"] = owner.subject if owner else None
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in said.items()
    }


def known(tx: Tx, name: str) -> Vm:
    """The VM of this name. NotFound where there is none."""
    vm = db.vms.by_name(tx, name)
    if vm is None:
        raise NotFound(
            "no_such_vm", f"There is no VM {name[:60]}.", "List the VMs to see their names."
        )
    return vm
