"""VMs: add them, and record what probes saw. Probing itself is the reconciler's."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import replace
from datetime import datetime
from typing import Any

from portal import db
from portal.context import Portal
from portal.core.engine import EngineInfo, GpuReport, VmReport
from portal.core.errors import Conflict, Invalid, NotFound
from portal.core.models import Gpu, GpuState, User, Vm, VmState
from portal.scheduling import admission, quotas
from portal.scheduling.placement import SHARED_POOL
from portal.users import permissions
from portal.vms import health as vm_health

VM_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?")


def add(
    portal: Portal,
    actor: User | str,
    name: str,
    engine_url: str,
    address: str,
    owner: str | None = None,
    pool: str = SHARED_POOL,
    state: VmState = VmState.ACTIVE,
) -> Vm:
    """Add a VM to a pool, or for one user (by subject).

    Adding the same again changes nothing, not its state either.

    VmState.NEW: it takes no containers before activate().
    """
    if not VM_NAME.fullmatch(name):
        raise Invalid(
            "bad_vm_name",
            f"{name[:60]!r} is no host name.",
            "Use small letters, digits, dots, hyphens.",
        )
    if not engine_url.startswith(("unix:///", "ssh://")):
        raise Invalid(
            "bad_engine",
            "The engine must be unix:///path or ssh://user@host[:port].",
            "See the guide.",
        )
    who = permissions.acting(actor)
    _check_address(address)
    quotas.check_group(pool)
    now = portal.now()
    with portal.database.transaction() as tx:
        owner_id = _owner_id(tx, owner)
        known = db.vms.by_name(tx, name)
        if known and (known.engine_url, known.address, known.owner_id, known.pool) == (
            engine_url,
            address,
            owner_id,
            pool,
        ):
            return known
        if known:
            raise Conflict(
                "vm_exists",
                f"There is a VM {name} already, and it is not the same: "
                f"{known.engine_url}, {known.address}, "
                f"{'somebody' if known.owner_id else known.pool}'s.",
                "Choose another name, or change the one that is there: vm assign, vm remove.",
            )
        for other in db.vms.all_vms(tx):
            if (other.engine_url == engine_url) or other.address == address:
                raise Conflict(
                    "vm_twice",
                    f"{other.name} is the same machine: {other.engine_url}, {other.address}.",
                    "Its memory and GPUs would be given out twice. Use its name.",
                )
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
        made = db.vms.by_name(tx, name)
    assert made is not None
    portal.wake()
    return made


def set_up(
    portal: Portal,
    actor: User | str,
    name: str,
    engine_url: str,
    address: str | None,
    owner: str | None,
    pool: str | None,
) -> Vm:
    """Add a VM that is NEW until it is proven.

    One that is known keeps address, owner and pool where none is given.
    """
    with portal.database.reading() as tx:
        known = db.vms.by_name(tx, name)
        whose = {user.id: user.subject for user in db.users.all_users(tx)}
    if known and owner is None and pool is None:
        owner, pool = whose.get(known.owner_id or 0), known.pool
    address = address or (known.address if known else None)
    if address is None:
        raise Invalid(
            "no_address", f"{name} is new, and its address is not given.", "Give it with --address."
        )
    return add(portal, actor, name, engine_url, address, owner, pool or SHARED_POOL, VmState.NEW)


def _check_address(address: str) -> None:
    """Containers publish there and nowhere else: it must be one address of the VM."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        parsed = None
    if parsed is None or parsed.is_unspecified or parsed.is_multicast:
        raise Invalid(
            "bad_address",
            f"{address[:60]!r} is not one address of a VM.",
            "Give the VM's internal IP address; containers publish on it only.",
        )


def assign(
    portal: Portal,
    actor: User | str,
    name: str,
    *,
    owner: str | None = None,
    pool: str = SHARED_POOL,
) -> Vm:
    """Dedicate a VM to a user (by subject), or put it into a pool. What runs on it goes on."""
    quotas.check_group(pool)
    return _change(portal, actor, name, "assigned", owner=owner, pool=pool)


def drain(portal: Portal, actor: User | str, name: str) -> Vm:
    """No new containers on it; what runs goes on. Undone by activate()."""
    return _change(portal, actor, name, "drained", state=VmState.DRAINING)


def activate(portal: Portal, actor: User | str, name: str) -> Vm:
    """It takes new containers, for the first time or again."""
    return _change(portal, actor, name, "activated", state=VmState.ACTIVE)


def remove(portal: Portal, actor: User | str, name: str) -> None:
    """Take a VM out of the fleet.

    Conflict while containers live on it; stopped ones lose their place there.
    """
    permissions.acting(actor)
    with portal.database.reading() as tx:
        vm = _known(tx, name)
        live = [one for one in db.deployments.live(tx) if one.vm is not None and one.vm.id == vm.id]
    if live:
        names = ", ".join(f"{one.name} of {one.owner.display_name}" for one in live[:5])
        raise Conflict(
            "vm_in_use",
            f"{len(live)} of {name}'s containers are running: {names}.",
            "Drain it, and wait or stop them first.",
        )
    _change(portal, actor, name, "removed", state=VmState.REMOVED)


def _change(portal: Portal, actor: User | str, name: str, what: str, **values: Any) -> Vm:
    """Change a VM and audit it; then nobody may wait for what can no longer come."""
    who, now = permissions.acting(actor), portal.now()
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        vm = _known(tx, name)
        details = dict(values)
        if "owner" in values:
            values["owner_id"] = _owner_id(tx, values.pop("owner"))
        if values.get("state") is VmState.REMOVED:
            db.vms.remove(tx, vm.id)
        else:
            db.vms.update(tx, vm.id, **values)
        db.audit.append(tx, now, who, f"vm.{what}", f"vm:{name}", **details)
        admission.serve(portal, tx)
    portal.wake()
    return replace(vm, **values)


def _known(tx: db.Tx, name: str) -> Vm:
    vm = db.vms.by_name(tx, name)
    if vm is None:
        raise NotFound(
            "no_such_vm", f"There is no VM {name[:60]}.", "List the VMs to see their names."
        )
    return vm


def _owner_id(tx: db.Tx, subject: str | None) -> int | None:
    if subject is None:
        return None
    user = db.users.by_subject(tx, subject)
    if user is None:
        raise NotFound(
            "no_such_user", f"No user {subject} is known.", "They appear once they have signed in."
        )
    return user.id


def seen(portal: Portal, vm: Vm, info: EngineInfo) -> None:
    """Record a probe that was answered; coming back is audited."""
    now = portal.now()
    with portal.database.transaction() as tx:
        db.vms.update(
            tx,
            vm.id,
            reachable=True,
            error=None,
            cpus=info.cpus,
            memory_gb=info.memory_gb,
            last_seen_at=now,
        )
        if vm.last_seen_at and (vm.cpus, vm.memory_gb) != (info.cpus, info.memory_gb):
            db.audit.append(
                tx,
                now,
                "worker",
                "vm.resized",
                f"vm:{vm.name}",
                cpus=info.cpus,
                memory_gb=info.memory_gb,
            )
        if not vm.reachable:
            db.audit.append(tx, now, "worker", "vm.reachable", f"vm:{vm.name}", engine=info.version)


def checked(portal: Portal, vm: Vm, report: VmReport) -> None:
    """Record what a VM says of itself; a firewall that changes its mind is audited."""
    now = portal.now()
    with portal.database.transaction() as tx:
        db.vms.update(
            tx,
            vm.id,
            firewall=report.firewall,
            disk_free_gb=report.disk_free_gb,
            clock_skew_s=report.clock_skew_s,
            checked_at=now,
            synchronised=report.synchronised,
            ports_reserved=(
                None
                if report.reserved_ports is None
                else vm_health.reserves(report.reserved_ports, portal.settings.served_ports)
            ),
        )
        if report.firewall != vm.firewall:
            db.audit.append(
                tx, now, "worker", "vm.firewall", f"vm:{vm.name}", firewall=report.firewall
            )


def saw_gpus(portal: Portal, vm: Vm, report: GpuReport) -> None:
    """Record a look at a VM's GPUs. What comes, goes or falls ill is audited; readings are not."""
    now = portal.now()
    facts = {
        "driver": report.driver,
        "cuda": report.cuda,
        "gpu_access": report.access,
        "gpu_problem": report.problem,
    }
    changed = False
    with portal.database.transaction() as tx:
        known = db.gpus.of_vm(tx, vm.id)
        if facts != {name: getattr(vm, name) for name in facts}:
            db.vms.update(tx, vm.id, **facts)
            db.audit.append(tx, now, "worker", "vm.gpus", f"vm:{vm.name}", **facts)
        elsewhere = {
            gpu.uuid
            for gpu in db.gpus.all_gpus(tx)
            if gpu.vm_id != vm.id and gpu.state is GpuState.OK
        }
        for seen in report.gpus:
            if seen.uuid in elsewhere:
                continue  # two VMs name the same GPU (one was cloned, say): the first keeps it
            gpu = Gpu(
                vm_id=vm.id, state=GpuState.ILL if seen.problem else GpuState.OK, **vars(seen)
            )
            before = known.pop(gpu.uuid, None)
            if gpu != before:
                db.gpus.put(tx, gpu)
            if before is None or before.state is not gpu.state:
                db.audit.append(
                    tx,
                    now,
                    "worker",
                    f"gpu.{gpu.state}",
                    f"gpu:{gpu.uuid}",
                    vm=vm.name,
                    model=gpu.model,
                    problem=gpu.problem,
                )
                changed = True
        _missing(tx, vm, known, now)
    if changed:
        portal.wake()  # somebody may wait for what came


def _missing(tx: db.Tx, vm: Vm, gone: dict[str, Gpu], now: datetime) -> None:
    """A leased GPU that vanished is kept, so that people see it; others are forgotten."""
    leased = db.leases.gpus(tx)
    for uuid, gpu in gone.items():
        if uuid not in leased:
            db.gpus.delete(tx, uuid)
            db.audit.append(
                tx, now, "worker", "gpu.gone", f"gpu:{uuid}", vm=vm.name, model=gpu.model
            )
        elif gpu.state is not GpuState.MISSING:
            db.gpus.mark_missing(tx, uuid, f"{vm.name} no longer reports it")
            db.audit.append(
                tx,
                now,
                "worker",
                f"gpu.{GpuState.MISSING}",
                f"gpu:{uuid}",
                vm=vm.name,
                model=gpu.model,
                deployment=leased[uuid],
            )


def lost(portal: Portal, vm: Vm, error: str) -> None:
    """Record a probe that failed; the first of a row is audited."""
    now = portal.now()
    with portal.database.transaction() as tx:
        db.vms.update(tx, vm.id, reachable=False, error=error[:500])
        if vm.reachable:
            db.audit.append(tx, now, "worker", "vm.unreachable", f"vm:{vm.name}", error=error[:500])
