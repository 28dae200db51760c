"""What people see of the GPUs: what they may choose from, and every GPU with who holds it."""

from __future__ import annotations

import enum
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from portal import db
from portal.context import Portal
from portal.core.errors import Conflict, NotFound
from portal.core.models import Deployment, Gpu, GpuState, State, Vm
from portal.core.people import Actor, User
from portal.core.resources import CPUS, MEMORY, NO_LIMITS, Resources, exceeds
from portal.scheduling import admission, placement, quotas
from portal.scheduling.placement import UNKNOWN_SIZE
from portal.users import permissions
from portal.vms.service import known

MINUTES = 60
OVER = (State.STOPPED, State.FAILED, State.REMOVED)
"""A GPU that is held still: by a container that could not be removed."""


NOT_THERE = (*OVER, State.WAITING)
"""On no VM."""


class Hold(enum.StrEnum):
    """What a GPU is to the person who looks."""

    FREE = "free"
    YOURS = "yours"
    TAKEN = "taken"
    OUT_OF_ORDER = "out of order"


@dataclass(frozen=True)
class Offer:
    """A GPU model open to a user: how many are free now, and the most that one VM has."""

    model: str
    free: int
    most: int


@dataclass(frozen=True)
class GpuStatus:
    """One GPU. `holder` names the person for administrators; for others only themselves."""

    vm: Vm
    gpu: Gpu
    hold: Hold
    holder: str
    deployment: Deployment | None


def offers(portal: Portal, user: User, group: str | None = None) -> list[Offer]:
    """The models on the VMs that the user may use, or may for one group; most free first."""
    with portal.database.reading() as tx:
        fleet = admission.read_fleet(tx)
    free: dict[str, int] = defaultdict(int)
    most: dict[str, int] = defaultdict(int)
    for vm_id in fleet.eligible(user, None, group)[1]:
        capacity = fleet.capacities[vm_id]
        for model, count in capacity.working.items():
            most[model] = max(most[model], count)
            opens = placement.open_now(capacity) and not capacity.vm.gpu_problem
            free[model] += len(capacity.free.get(model, ())) if opens else 0
    return sorted(
        (Offer(model, free[model], most[model]) for model in most), key=lambda o: (-o.free, o.model)
    )


@dataclass(frozen=True)
class OrderLimits:
    """The most one container could have: what is left of the quotas, and the biggest VM's size."""

    most: Resources
    free: Resources
    """The most of each that one could have now, without waiting."""
    short: str
    """Which quota has nothing left, in words; "" when an order can be made."""


def order_limits(portal: Portal, user: User, group: str) -> OrderLimits:
    """What an order form may offer for a group."""
    with portal.database.reading() as tx:
        left = quotas.left(portal, tx, user, group)
        fleet = admission.read_fleet(tx)
    capacities = [fleet.capacities[vm_id] for vm_id in fleet.eligible(user, None, group)[1]]
    vms, ready = [each.vm for each in capacities], [c for c in capacities if placement.open_now(c)]
    biggest = replace(
        NO_LIMITS,
        memory_gb=max((vm.memory_gb or UNKNOWN_SIZE for vm in vms), default=UNKNOWN_SIZE),
        cpus=max((vm.cpus or UNKNOWN_SIZE for vm in vms), default=UNKNOWN_SIZE),
    )
    needed = {"memory": MEMORY, "CPUs": CPUS}
    short = [noun for noun, amount in needed.items() if exceeds(amount.minimum, amount.of(left))]
    now = replace(
        NO_LIMITS,
        gpus=max((sum(map(len, each.free.values())) for each in ready), default=0),
        memory_gb=max((max(each.free_memory_gb, 0.0) for each in ready), default=0.0),
        cpus=max((each.vm.cpus or UNKNOWN_SIZE for each in ready), default=0.0),
    )
    return OrderLimits(left.capped(biggest), left.capped(now), short[0] if short else "")


def forget(portal: Portal, actor: Actor, name: str, uuid: str) -> None:
    """Say that a missing GPU was taken out of its VM; should the VM report it, it is seen anew.

    Conflict while the VM reports it, or a container still holds it.
    """
    who, now = permissions.administrator(actor), portal.now()
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        gpu = db.gpus.of_vm(tx, known(tx, name).id).get(uuid)
        if gpu is None:
            raise NotFound(
                "no_such_gpu", f"{name} has no GPU {uuid[:80]}.", "GET /gpus names them."
            )
        if gpu.state is not GpuState.MISSING:
            raise Conflict(
                "gpu_present", f"{name} reports this GPU: it is not missing.", "Take it out first."
            )
        if holder := db.leases.gpus(tx).get(uuid):
            raise Conflict(
                "gpu_held", f"The container {holder} holds this GPU.", "Stop that container first."
            )
        db.gpus.delete(tx, uuid)
        db.audit.append(tx, now, who, db.gpus.GONE, f"gpu:{uuid}", vm=name, model=gpu.model)


def count(portal: Portal) -> int:
    """How many GPUs are known, of all VMs."""
    with portal.database.reading() as tx:
        return db.gpus.count(tx)


def overview(portal: Portal, user: User) -> list[GpuStatus]:
    """Every GPU of the VMs that the user may use; of all VMs for an administrator.

    By VM and index.
    """
    with portal.database.reading() as tx:
        vms = db.vms.all_vms(tx)
        holders = db.leases.gpus(tx)
        holding = db.deployments.by_ids(tx, set(holders.values()))
        own = db.deployments.of_user(tx, user.id)
        gpus = db.gpus.all_gpus(tx)
    held = {each.vm.id for each in own if each.vm is not None and each.state not in NOT_THERE}
    mine = [vm for vm in vms if vm.id in held]
    shown = {
        vm.id: vm
        for vm in (
            vms if permissions.reads_all(user) else [*permissions.eligible_vms(vms, user), *mine]
        )
    }
    statuses = [
        _status(
            shown[gpu.vm_id],
            gpu,
            holding.get(holders.get(gpu.uuid, "")),
            user,
            leased=gpu.uuid in holders,
        )
        for gpu in gpus
        if gpu.vm_id in shown
    ]
    return sorted(statuses, key=lambda each: (each.vm.name, each.gpu.index, each.gpu.uuid))


def last_hour(portal: Portal, statuses: Sequence[GpuStatus]) -> dict[str, list[int | None]]:
    """By VM of these GPUs: percent of them that was busy, by minute, the oldest first.

    A GPU that nobody holds is not busy. None for a minute in which nothing was seen: of any GPU, or
    of a VM whose GPUs are held. No VM whose GPUs do not say how busy they are (slices, say).
    """
    end = portal.now().replace(second=0, microsecond=0) - timedelta(minutes=1)
    minutes = [end - timedelta(minutes=back) for back in reversed(range(MINUTES))]
    with portal.database.reading() as tx:
        busy = db.figures.busy_gpus(tx, minutes[0])
    seen = {minute for of_vm in busy.values() for minute in of_vm}
    cards = Counter(each.vm for each in statuses if each.gpu.utilisation is not None)
    held = {each.vm.id for each in statuses if each.hold in (Hold.YOURS, Hold.TAKEN)}

    def percent(vm: Vm, minute: datetime) -> int | None:
        found = busy.get(vm.id, {}).get(minute, None if vm.id in held else 0.0)
        known = minute in seen and found is not None
        return min(100, round(100 * (found or 0.0) / cards[vm])) if known else None

    return {vm.name: [percent(vm, minute) for minute in minutes] for vm in cards}


def _status(
    vm: Vm, gpu: Gpu, deployment: Deployment | None, user: User, *, leased: bool
) -> GpuStatus:
    over = deployment is not None and deployment.state in OVER
    mine = deployment is not None and deployment.owner.id == user.id and not over
    may_know = mine or permissions.reads_all(user)
    if gpu.state is not GpuState.OK or not vm.reachable:
        hold = Hold.OUT_OF_ORDER
    elif not leased:
        hold = Hold.OUT_OF_ORDER if vm.gpu_problem else Hold.FREE
    else:
        hold = Hold.YOURS if mine else Hold.TAKEN
    holder = deployment.owner.display_name if deployment is not None and may_know else ""
    if holder and over:
        holder += ", whose container has ended and is not gone yet"
    return GpuStatus(vm, gpu, hold, holder, deployment if may_know else None)


def exist(portal: Portal) -> bool:
    """Whether any VM of the fleet has a GPU, or had one that is missing."""
    with portal.database.reading() as tx:
        return db.gpus.exist(tx)
