"""Who starts where: orders and the line against the rooms there are, and the leases of what is granted.

placement.py and line.py decide; this reads what they need and records what they say, in the caller's
transaction. The unique indexes on leases have the last word.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from portal import audit, ledger, line, metrics, placement, store
from portal.context import Portal
from portal.line import Verdict, Waiting
from portal.models import Deployment, Gpu, Order, State, User, Vm
from portal.placement import Need, Placement, Room
from portal.store import Tx

NOBODY_WAITS: dict[str, Any] = {"waiting_since": None, "waits_for": None, "position": None}


@dataclass(frozen=True)
class Floor:
    """The whole fleet at one moment."""

    vms: tuple[Vm, ...]
    rooms: dict[int, Room]

    def reach(self, user: User, pinned: Vm | None) -> tuple[str, list[int]]:
        """The VMs somebody may use, under a name that equal sets share. A home ties a deployment to its VM."""
        found = placement.candidates(self.vms, user)
        if pinned is not None and pinned.id in {vm.id for vm in found}:  # unless it is somebody else's by now
            return f"vm:{pinned.id}", [pinned.id]
        name = f"own:{user.id}" if found and found[0].owner_id else f"pool:{user.group}"
        return name, [vm.id for vm in found]


def floor(tx: Tx) -> Floor:
    """Read it."""
    vms, leased, held = store.all_vms(tx), ledger.leased_gpus(tx), ledger.held_memory(tx)
    cards: dict[int, list[Gpu]] = defaultdict(list)
    for gpu in ledger.all_gpus(tx):
        cards[gpu.vm_id].append(gpu)
    rooms = {vm.id: placement.room_of(vm, cards[vm.id], leased, held.get(vm.id, 0.0)) for vm in vms}
    return Floor(tuple(vms), rooms)


def judge(portal: Portal, tx: Tx, user: User, order: Order, pinned: Vm | None = None) -> Verdict:
    """What a newcomer at the end of the line gets. NoCapacity when no VM could ever take it, or none is open."""
    here, need = floor(tx), _need(portal, order)
    name, vms = here.reach(user, pinned)
    rooms = [here.rooms[vm] for vm in vms]
    if not any(placement.open_now(room) for room in rooms if not placement.never(need, room)):
        raise placement.refusal(need, rooms)
    waiting = store.waiting(tx)
    homes = store.homes(tx, {user.id, *(one.owner.id for one in waiting)})
    newcomer = Waiting("", need, name, homes.get(user.id, frozenset()))
    queue, reach = _queue(portal, here, waiting, homes)
    return line.decide([*queue, newcomer], {**reach, name: vms}, here.rooms)[-1]


def verdicts(portal: Portal, tx: Tx) -> list[tuple[Deployment, Verdict]]:
    """What the line would get now: whose place or start is not recorded yet, in order."""
    waiting = store.waiting(tx)
    if not waiting:
        return []
    here = floor(tx)
    queue, reach = _queue(portal, here, waiting, store.homes(tx, {one.owner.id for one in waiting}))
    found = zip(waiting, line.decide(queue, reach, here.rooms), strict=True)
    return [(one, verdict) for one, verdict in found
            if verdict.placement or (one.position, one.waits_for) != (verdict.position, verdict.waits_for)]  # fmt: skip


def serve(portal: Portal, tx: Tx) -> list[str]:
    """Let everybody in line start who can, and tell the others their place. Returns the ids that start."""
    store.in_order(tx)
    now, started = portal.now(), []
    for one, verdict in verdicts(portal, tx):
        if verdict.placement is None:
            store.update_deployment(tx, one.id, position=verdict.position, waits_for=verdict.waits_for)
            continue
        store.update_deployment(tx, one.id, updated_at=now, **grant(tx, one.id, verdict.placement, now))
        audit.append(tx, now, "worker", f"deployment.{State.PENDING}", f"deployment:{one.id}",
                     vm=verdict.placement.vm.name, gpus=list(verdict.placement.gpus))  # fmt: skip
        started.append(one.id)
        metrics.WAIT.observe((now - (one.waiting_since or now)).total_seconds())
    return started


def fail_the_impossible(portal: Portal, tx: Tx) -> None:
    """After an administrator took a VM away: who waits for what no VM of theirs has fails, and is told why."""
    here, now = floor(tx), portal.now()
    for one in store.waiting(tx):
        need = _need(portal, order_of(one))
        rooms = [here.rooms[vm] for vm in here.reach(one.owner, one.vm)[1]]
        if any(not placement.never(need, room) for room in rooms):
            continue
        error = placement.refusal(need, rooms)
        failure = {"code": error.code, "message": error.message, "hint": error.hint}
        store.update_deployment(tx, one.id, state=State.FAILED, failure=failure, slot=None, updated_at=now,
                                **NOBODY_WAITS)  # fmt: skip
        ledger.release(tx, one.id, now)
        audit.append(tx, now, "worker", f"deployment.{State.FAILED}", f"deployment:{one.id}", failure=failure)


def grant(tx: Tx, deployment_id: str, placed: Placement, now: datetime) -> dict[str, Any]:
    """Lease what was placed; returns the columns of a deployment that starts there."""
    ledger.lease(tx, ledger.GPU, placed.gpus, deployment_id, now)
    ledger.lease(tx, ledger.COMPUTE, [deployment_id], deployment_id, now)
    return {"state": State.PENDING, "vm_id": placed.vm.id, "gpu_uuids": list(placed.gpus), **NOBODY_WAITS}


def order_of(deployment: Deployment) -> Order:
    """The order that a deployment was."""
    return Order(deployment.release.image, deployment.name, deployment.gpus, deployment.memory_gb, deployment.cpus,
                 deployment.gpu_model)  # fmt: skip


def _need(portal: Portal, order: Order) -> Need:
    image = portal.catalog.get(order.image)
    driver = image.min_driver if image is not None and order.gpus else ""
    return Need(order.memory_gb, order.cpus, order.gpus, order.gpu_model, driver)


def _queue(
    portal: Portal, here: Floor, waiting: Sequence[Deployment], homes: Mapping[int, frozenset[int]]
) -> tuple[list[Waiting], dict[str, list[int]]]:
    queue, reach = [], {}
    for one in waiting:
        name, vms = here.reach(one.owner, one.vm)
        reach[name] = vms
        queue.append(Waiting(one.id, _need(portal, order_of(one)), name, homes.get(one.owner.id, frozenset())))
    return queue, reach
