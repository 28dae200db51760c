"""Who starts where: requests and the queue against the fleet, and the leases granted.

placement.py and queue.py decide; this reads what they need and records what they say, in the
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
from portal.core.errors import PortalError
from portal.core.models import Deployment, Failure, Gpu, Order, State, Vm
from portal.core.people import User
from portal.db import Tx
from portal.db.columns import NOT_WAITING, DeploymentColumns
from portal.images import launch_gate
from portal.scheduling import placement, queue, quotas
from portal.scheduling.placement import Need, Placement, VmCapacity
from portal.scheduling.queue import Decision, Waiting
from portal.users import entry, permissions

IMPOSSIBLE_FOR = timedelta(minutes=10)
"""A VM that reboots, or a GPU that is reset, is back by then."""
Homes = Mapping[int, frozenset[int]]


@dataclass(frozen=True)
class Advanced:
    """What became of the queue: who starts, as they were while they waited, and what failed."""

    started: Sequence[Deployment]
    failures: Sequence[Failure]


@dataclass(frozen=True)
class Fleet:
    """All VMs with what is free on them, at one moment."""

    vms: tuple[Vm, ...]
    capacities: dict[int, VmCapacity]

    def eligible(self, user: User, pinned: Vm | None, group: str | None) -> tuple[str, list[int]]:
        """The VMs somebody may use (None: for any of their groups), by a name equal sets share.

        A home ties a deployment to its VM, unless that is somebody else's by now.
        """
        vms = permissions.eligible_vms(self.vms, user, group)
        if pinned is not None and pinned.id in {vm.id for vm in vms}:
            return f"vm:{pinned.id}", [pinned.id]
        name = f"own:{user.id}" if vms and vms[0].owner_id else f"pool:{group}"
        return name, [vm.id for vm in vms]


def read_fleet(tx: Tx) -> Fleet:
    """The fleet as the records have it now."""
    vms, leased, held_gb = db.vms.all_vms(tx), db.leases.gpus(tx), db.leases.memory_by_vm(tx)
    gpus: dict[int, list[Gpu]] = defaultdict(list)
    for gpu in db.gpus.all_gpus(tx):
        gpus[gpu.vm_id].append(gpu)
    capacities = {
        vm.id: placement.capacity_of(vm, gpus[vm.id], leased, held_gb.get(vm.id, 0.0)) for vm in vms
    }
    return Fleet(tuple(vms), capacities)


def evaluate(
    portal: Portal, tx: Tx, user: User, order: Order, pinned: Vm | None = None
) -> Decision:
    """What a newcomer at the end of the queue gets.

    NoCapacity when no VM could ever take it, or none is open.
    """
    fleet, need = read_fleet(tx), _need(portal, order)
    name, vms = fleet.eligible(user, pinned, order.group)
    capacities = [fleet.capacities[vm] for vm in vms]
    possible = [each for each in capacities if not placement.never(need, each)]
    if not any(placement.open_now(each) for each in possible):
        raise placement.refusal(need, capacities)
    waiting = db.deployments.waiting(tx)
    homes = db.deployments.homes(tx, {user.id, *(other.owner.id for other in waiting)})
    newcomer = Waiting("", need, name, homes.get(user.id, frozenset()))
    requests, eligible = _requests(portal, fleet, waiting, homes)
    return queue.evaluate([*requests, newcomer], {**eligible, name: vms}, fleet.capacities)[-1]


def decisions(portal: Portal, tx: Tx) -> list[tuple[Deployment, Decision]]:
    """What the queue would get now, in its order; only what is not recorded yet."""
    waiting = db.deployments.waiting(tx)
    if not waiting:
        return []
    fleet, over = read_fleet(tx), quotas.over_quota(portal, tx, waiting)
    # A quota that was lowered keeps people out of the queue until it allows what they ask for;
    # nobody waits for them.
    candidates = [deployment for deployment in waiting if deployment.id not in over]
    homes = db.deployments.homes(tx, {deployment.owner.id for deployment in candidates})
    requests, eligible = _requests(portal, fleet, candidates, homes)
    decided = list(
        zip(candidates, queue.evaluate(requests, eligible, fleet.capacities), strict=True)
    )
    decided += [
        (deployment, Decision(deployment.id, None, waits_for=over[deployment.id]))
        for deployment in waiting
        if deployment.id in over
    ]
    return [
        (waiter, decision) for waiter, decision in decided if _is_news(portal, waiter, decision)
    ]


def _is_news(portal: Portal, waiter: Deployment, decision: Decision) -> bool:
    recorded = (waiter.position or 0, waiter.waits_for, waiter.impossible_since is None)
    return (
        bool(decision.placement)
        or recorded != (decision.position, decision.waits_for, decision.possible)
        or _hopeless(portal, waiter, decision)
    )


def _hopeless(portal: Portal, waiter: Deployment, decision: Decision) -> bool:
    """Whether it can never start: no eligible VM is left, and not just for a moment."""
    since = waiter.impossible_since
    return decision.nowhere or (
        not decision.possible and since is not None and portal.now() - since > IMPOSSIBLE_FOR
    )


def advance(portal: Portal, tx: Tx) -> Advanced:
    """Start everybody who can, update the others' places, end what became impossible."""
    db.serialize_writers(tx)
    now, started, failures = portal.now(), list[Deployment](), list[Failure]()
    for waiter, refusal in blocked(portal, tx):
        failures.append(Failure(refusal.code, refusal.message, refusal.hint))
        _fail(tx, waiter, failures[-1], now)
    for waiter, decision in decisions(portal, tx):
        if decision.placement is not None:
            _start(tx, waiter, decision.placement, now)
            started.append(waiter)
        elif _hopeless(portal, waiter, decision):
            failures.append(_no_vm(decision))
            _fail(tx, waiter, failures[-1], now)
        else:
            db.deployments.update(
                tx,
                waiter.id,
                position=decision.position,
                waits_for=decision.waits_for,
                impossible_since=None if decision.possible else waiter.impossible_since or now,
            )
    return Advanced(started, failures)


def blocked(portal: Portal, tx: Tx) -> list[tuple[Deployment, PortalError]]:
    """Requests whose release may no longer start, or whose owner may no longer come in, and why.

    They would hold a place for nothing.
    """
    blocked: list[tuple[Deployment, PortalError]] = []
    for waiter in db.deployments.waiting(tx):
        try:
            launch_gate.check(portal.settings, waiter.release, portal.now())
            entry.check(portal, waiter.owner)
        except PortalError as refusal:
            blocked.append((waiter, refusal))
    return blocked


def starting(placed: Placement, now: datetime) -> DeploymentColumns:
    """The columns of a deployment that starts where it was placed."""
    return {
        "state": State.PENDING,
        "vm_id": placed.vm.id,
        "gpu_uuids": list(placed.gpus),
        "pending_since": now,
        **NOT_WAITING,
    }


def waiting(decision: Decision, now: datetime) -> DeploymentColumns:
    """The columns of a deployment that joins the queue."""
    return {
        "state": State.WAITING,
        "waiting_since": now,
        "waits_for": decision.waits_for,
        "position": decision.position,
        "impossible_since": None,
    }


def lease(tx: Tx, deployment_id: str, placed: Placement, now: datetime) -> None:
    """Lease the GPUs, and the share of memory and CPUs, of a deployment that starts."""
    db.leases.acquire(tx, db.leases.GPU, placed.gpus, deployment_id, now)
    db.leases.acquire(tx, db.leases.COMPUTE, [deployment_id], deployment_id, now)


def _start(tx: Tx, waiter: Deployment, placed: Placement, now: datetime) -> None:
    lease(tx, waiter.id, placed, now)
    columns: DeploymentColumns = {**starting(placed, now), "updated_at": now}
    db.deployments.update(tx, waiter.id, **columns)
    details = {"vm": placed.vm.name, "gpus": list(placed.gpus)}
    _record(tx, waiter, State.PENDING, now, details)


def _no_vm(decision: Decision) -> Failure:
    return Failure(
        "no_vm" if decision.nowhere else "no_room",
        f"None of your VMs can run this any more: {decision.waits_for}.",
        "Ask for less, or ask your administrator.",
    )


def _fail(tx: Tx, waiter: Deployment, failure: Failure, now: datetime) -> None:
    columns: DeploymentColumns = {
        "state": State.FAILED,
        "failure": vars(failure),
        "slot": None,
        "updated_at": now,
        **NOT_WAITING,
    }
    db.deployments.update(tx, waiter.id, **columns)
    db.leases.release(tx, waiter.id, now)
    _record(tx, waiter, State.FAILED, now, {"failure": vars(failure)})


def _record(
    tx: Tx, waiter: Deployment, after: State, now: datetime, details: dict[str, Any]
) -> None:
    said = details | db.audit.changed({"state": waiter.state}, {"state": after})
    about = f"deployment:{waiter.id}"
    db.audit.append(tx, now, "worker", f"deployment.{after}", about, **said)


def _need(portal: Portal, order: Order) -> Need:
    image = portal.catalog.get(order.image)
    driver = image.min_driver if image is not None and order.gpus else ""
    return Need(
        gpus=order.gpus,
        memory_gb=order.memory_gb,
        cpus=order.cpus,
        model=order.gpu_model,
        min_driver=driver,
    )


def _requests(
    portal: Portal, fleet: Fleet, waiting: Sequence[Deployment], homes: Homes
) -> tuple[list[Waiting], dict[str, list[int]]]:
    """The queue as values, and the sets of VMs that they name."""
    requests, eligible = [], {}
    for deployment in waiting:
        name, vms = fleet.eligible(deployment.owner, deployment.vm, deployment.group)
        eligible[name] = vms
        home = homes.get(deployment.owner.id, frozenset())
        requests.append(Waiting(deployment.id, _need(portal, deployment.order), name, home))
    return requests, eligible
