"""Who starts where: requests and the queue against the fleet, and the leases granted.

placement.py and line.py decide; this reads what they need and records what they say, in the
caller's transaction. The unique indexes on leases have the last word.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from portal import db
from portal.context import Portal
from portal.core.errors import Conflict
from portal.core.models import Deployment, Gpu, Order, State, User, Vm
from portal.db.connection import Tx
from portal.images import launch_gate
from portal.scheduling import placement, queue
from portal.scheduling.placement import Need, Placement, Room
from portal.scheduling.queue import Verdict, Waiting
from portal.users import permissions

NOBODY_WAITS: dict[str, Any] = {
    "waiting_since": None,
    "waits_for": None,
    "position": None,
    "impossible_since": None,
}
IMPOSSIBLE_FOR = timedelta(minutes=10)
"""A VM that reboots, or a GPU that is reset, is back by then."""


@dataclass(frozen=True)
class Floor:
    """The whole fleet at one moment."""

    vms: tuple[Vm, ...]
    rooms: dict[int, Room]

    def reach(self, user: User, pinned: Vm | None) -> tuple[str, list[int]]:
        """The VMs somebody may use, under a name that equal sets share.

        A home ties a deployment to its VM.
        """
        found = placement.candidates(self.vms, user)
        # Unless it is somebody else's by now.
        if pinned is not None and pinned.id in {vm.id for vm in found}:
            return f"vm:{pinned.id}", [pinned.id]
        name = f"own:{user.id}" if found and found[0].owner_id else f"pool:{user.group}"
        return name, [vm.id for vm in found]


def floor(tx: Tx) -> Floor:
    """Read it."""
    vms, leased, held = db.vms.all_vms(tx), db.leases.gpus(tx), db.leases.memory_by_vm(tx)
    cards: dict[int, list[Gpu]] = defaultdict(list)
    for gpu in db.gpus.all_gpus(tx):
        cards[gpu.vm_id].append(gpu)
    rooms = {vm.id: placement.room_of(vm, cards[vm.id], leased, held.get(vm.id, 0.0)) for vm in vms}
    return Floor(tuple(vms), rooms)


def judge(portal: Portal, tx: Tx, user: User, order: Order, pinned: Vm | None = None) -> Verdict:
    """What a newcomer at the end of the line gets.

    NoCapacity when no VM could ever take it, or none is open.
    """
    here, need = floor(tx), _need(portal, order)
    name, vms = here.reach(user, pinned)
    rooms = [here.rooms[vm] for vm in vms]
    if not any(placement.open_now(room) for room in rooms if not placement.never(need, room)):
        raise placement.refusal(need, rooms)
    waiting = db.deployments.waiting(tx)
    homes = db.deployments.homes(tx, {user.id, *(one.owner.id for one in waiting)})
    newcomer = Waiting("", need, name, homes.get(user.id, frozenset()))
    requests, reach = _queue(portal, here, waiting, homes)
    return queue.decide([*requests, newcomer], {**reach, name: vms}, here.rooms)[-1]


def verdicts(portal: Portal, tx: Tx) -> list[tuple[Deployment, Verdict]]:
    """What the line would get now: whose place, start or end is not recorded yet, in order."""
    waiting = db.deployments.waiting(tx)
    if not waiting:
        return []
    here, over = floor(tx), _over_quota(portal, tx, waiting)
    served = [one for one in waiting if one.id not in over]
    requests, reach = _queue(
        portal, here, served, db.deployments.homes(tx, {one.owner.id for one in served})
    )
    found = list(zip(served, queue.decide(requests, reach, here.rooms), strict=True))
    # A quota that was lowered keeps people out of the line until it allows what they ask for;
    # nobody waits for them.
    found += [
        (one, Verdict(one.id, None, waits_for=over[one.id])) for one in waiting if one.id in over
    ]
    return [(one, verdict) for one, verdict in found if _is_news(portal, one, verdict)]


def _is_news(portal: Portal, one: Deployment, verdict: Verdict) -> bool:
    told = (one.position or 0, one.waits_for, one.impossible_since is None)
    return (
        bool(verdict.placement)
        or told != (verdict.position, verdict.waits_for, verdict.possible)
        or _hopeless(portal, one, verdict)
    )


def _hopeless(portal: Portal, one: Deployment, verdict: Verdict) -> bool:
    """Whether it can never start: no eligible VM is left, and not just for a moment."""
    since = one.impossible_since
    return verdict.nowhere or (
        not verdict.possible and since is not None and portal.now() - since > IMPOSSIBLE_FOR
    )


def _over_quota(portal: Portal, tx: Tx, waiting: Sequence[Deployment]) -> dict[str, str]:
    """Who would go over a quota by starting, with the words for it.

    Quotas can be lowered while people wait.
    """
    every, held = db.quotas.all_quotas(tx), db.quotas.held_by_everybody(tx)
    members: dict[str, list[int]] = defaultdict(list)
    for user in db.users.all_users(tx):
        members[user.group].append(user.id)
    takes: dict[tuple[str, str], db.quotas.Held] = {}
    found: dict[str, str] = {}
    for one in waiting:
        user, order = one.owner, order_of(one)
        own = permissions.quota_of(
            portal.settings, every.get(("default", "")), every.get(("user", user.subject))
        )
        limits = [(("user", user.subject), own, [user.id])]
        if user.group and ("group", user.group) in every:
            limits.append((("group", user.group), every["group", user.group], members[user.group]))
        reasons = []
        for key, quota, ids in limits:
            before = takes.get(key) or db.quotas.add_up(
                held[user_id] for user_id in ids if user_id in held
            )
            takes[key] = before
            reasons += permissions.over(order, quota, before.gpus, before.memory_gb, before.cpus)
        if reasons:
            found[one.id] = f"your quota: {reasons[0]}"
        else:
            for key, _, _ in limits:
                takes[key] = takes[key].plus(order.gpus, order.memory_gb, order.cpus)
    return found


def serve(portal: Portal, tx: Tx) -> list[Deployment]:
    """Start everybody in the queue who can, update the others' places, end what became impossible.

    Returns those that start, as they were while they waited.
    """
    db.serialize_writers(tx)
    now, started = portal.now(), []
    for one, refusal in barred(portal, tx):
        _fail(
            tx, one, {"code": refusal.code, "message": refusal.message, "hint": refusal.hint}, now
        )
    for one, verdict in verdicts(portal, tx):
        if verdict.placement is not None:
            db.deployments.update(
                tx, one.id, updated_at=now, **grant(tx, one.id, verdict.placement, now)
            )
            db.audit.append(
                tx,
                now,
                "worker",
                f"deployment.{State.PENDING}",
                f"deployment:{one.id}",
                vm=verdict.placement.vm.name,
                gpus=list(verdict.placement.gpus),
            )
            started.append(one)
        elif _hopeless(portal, one, verdict):
            _give_up(tx, one, verdict, now)
        else:
            since = None if verdict.possible else one.impossible_since or now
            db.deployments.update(
                tx,
                one.id,
                position=verdict.position,
                waits_for=verdict.waits_for,
                impossible_since=since,
            )
    return started


def _give_up(tx: Tx, one: Deployment, verdict: Verdict, now: datetime) -> None:
    failure = {
        "code": "no_vm" if verdict.nowhere else "no_room",
        "message": f"No VM of yours can run this any more. It waited for: {verdict.waits_for}.",
        "hint": "Ask for less, or ask your administrator.",
    }
    _fail(tx, one, failure, now)


def barred(portal: Portal, tx: Tx) -> list[tuple[Deployment, Conflict]]:
    """Requests whose release may no longer start, and why: they would hold a place for nothing."""
    found = []
    for one in db.deployments.waiting(tx):
        try:
            launch_gate.check(portal.settings, one.release, portal.now())
        except Conflict as refusal:
            found.append((one, refusal))
    return found


def _fail(tx: Tx, one: Deployment, failure: dict[str, str], now: datetime) -> None:
    db.deployments.update(
        tx, one.id, state=State.FAILED, failure=failure, slot=None, updated_at=now, **NOBODY_WAITS
    )
    db.leases.release(tx, one.id, now)
    db.audit.append(
        tx, now, "worker", f"deployment.{State.FAILED}", f"deployment:{one.id}", failure=failure
    )


def grant(tx: Tx, deployment_id: str, placed: Placement, now: datetime) -> dict[str, Any]:
    """Lease what was placed; returns the columns of a deployment that starts there."""
    db.leases.acquire(tx, db.leases.GPU, placed.gpus, deployment_id, now)
    db.leases.acquire(tx, db.leases.COMPUTE, [deployment_id], deployment_id, now)
    return {
        "state": State.PENDING,
        "vm_id": placed.vm.id,
        "gpu_uuids": list(placed.gpus),
        **NOBODY_WAITS,
    }


def order_of(deployment: Deployment) -> Order:
    """The order that a deployment was."""
    return Order(
        deployment.release.image,
        deployment.name,
        deployment.gpus,
        deployment.memory_gb,
        deployment.cpus,
        deployment.gpu_model,
        deployment.ssh,
    )


def _need(portal: Portal, order: Order) -> Need:
    image = portal.catalog.get(order.image)
    driver = image.min_driver if image is not None and order.gpus else ""
    return Need(order.memory_gb, order.cpus, order.gpus, order.gpu_model, driver)


def _queue(
    portal: Portal, here: Floor, waiting: Sequence[Deployment], homes: Mapping[int, frozenset[int]]
) -> tuple[list[Waiting], dict[str, list[int]]]:
    requests, reach = [], {}
    for one in waiting:
        name, vms = here.reach(one.owner, one.vm)
        reach[name] = vms
        requests.append(
            Waiting(
                one.id, _need(portal, order_of(one)), name, homes.get(one.owner.id, frozenset())
            )
        )
    return requests, reach
