"""What is wrong with the portal according to its records, for health-check.sh and monitoring."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from datetime import datetime, timedelta

from portal import audit, db, users
from portal.audit import Offload
from portal.context import Portal
from portal.core.health import Status
from portal.core.models import Deployment, Gpu, Release, Vm, VmState
from portal.core.people import User
from portal.db import Tx
from portal.db.directory import Look
from portal.deployments import intervention, lifecycle, slots
from portal.deployments.container_spec import container_name
from portal.images import launch_gate
from portal.users import ranges
from portal.vms import addresses
from portal.vms import health as vm_health
from portal.vms.health import Problem

PROBES_ENDED = timedelta(seconds=60)
"""A worker that probed no VM for so long does not probe any more."""
SECTIONS = {"gpu": "gpu-problem"}
OFFLOAD_LATE = timedelta(minutes=5)
BACKUP_LATE = timedelta(hours=50)
STUCK_AFTER, STUCK_LONG = timedelta(minutes=1), timedelta(minutes=15)


BACK_UP = "docker compose exec backup python3 admin.py backup /backups"
BACK_UP_BY_HAND = (
    "docker compose exec api python3 admin.py backup /var/lib/portal/backups"
    " && docker compose cp api:/var/lib/portal/backups ."
)


def of_records(portal: Portal) -> Iterator[Status]:
    """Everything that the database can tell, the worst not first: the caller sorts."""
    now = portal.now()
    is_sqlite = portal.settings.database_url.startswith("sqlite")  # without a backup service
    with portal.database.reading() as tx:
        vms, approved = db.vms.all_vms(tx), db.releases.approved(tx)
        backups = db.audit.last(tx, "database.backed_up", now)
        troubled = intervention.troubled(tx)
        unlisted = users.left_from_lists(portal, tx)
        owners = db.users.owners(tx, vms)
        given, served = ranges.given(portal, tx), len(ranges.served(portal.settings))
        gpus = db.gpus.all_gpus(tx)
        still_held = _still_held(tx, now)
        in_use = db.blocked_ports.since(tx, now - slots.BLOCKED_FOR)
        look = db.directory.last(tx)
        sent = audit.offload(tx)
    yield Status("ok", "database", "database", "The database answers.")
    yield from _backup(backups, now, by_hand=is_sqlite)
    if not vms:
        yield Status(
            "warning", "vm", "fleet", "There is no VM.", "scripts/setup-vm.sh VM", "first-vm"
        )
    seen = [vm.last_seen_at for vm in vms if vm.last_seen_at]
    if seen and now - max(seen) > PROBES_ENDED:
        yield Status(
            "critical",
            "worker",
            "worker",
            f"No VM has been probed for {_minutes(now - max(seen))}.",
            "docker compose restart worker",
            "worker-silent",
        )
    for vm in vms:
        owner = owners.get(vm.owner_id or 0)
        if owner and owner.retired_at:
            yield _idle(vm, owner)
        yield from _vm(portal, vm, [gpu for gpu in gpus if gpu.vm_id == vm.id])
        for port, since in in_use.get(vm.id, {}).items():
            yield _in_use(vm, port, now - since)
    yield from still_held
    if portal.settings.offload_to:
        yield from _offload(sent, now)
    yield from _people(given, served, unlisted)
    yield from _directory(look, now)
    for deployment in troubled:
        if deployment.trouble and now - deployment.trouble.since > STUCK_AFTER:
            yield _stuck(deployment, now - deployment.trouble.since)
    for release in approved.values():
        yield _image(portal, release, now)


def _image(portal: Portal, release: Release, now: datetime) -> Status:
    name = f"{release.image} {release.version}"
    if problem := launch_gate.problem(portal.settings, release, now):
        command = "docker compose run --rm publisher image scan --all"
        return Status("critical", "image", name, problem, command, "image-refused")
    scanned = (
        f" and was scanned {_minutes(now - release.scanned_at)} ago" if release.scanned_at else ""
    )
    return Status("ok", "image", name, f"{name} may start{scanned}.")


def _people(given: int, served: int, unlisted: list[User]) -> Iterator[Status]:
    if served * ranges.FEW_LEFT <= given:
        yield Status(
            "warning",
            "ranges",
            "ports",
            f"{given} of {served} port ranges are given out; when all are, nobody new can deploy.",
            "docker compose exec api python3 admin.py user list",
            "few-ranges",
        )
    else:
        said = f"{given} of {served} port ranges are given out."
        yield Status("ok", "ranges", "ports", said)
    for user in unlisted:
        yield Status(
            "warning",
            "role",
            user.subject,
            f"{user.display_name} has been {user.role} since the first sign-in, but"
            f" PORTAL_ADMINS and PORTAL_CURATORS name neither {user.subject} nor a known UPN.",
            f"docker compose exec api python3 admin.py user role {shlex.quote(user.subject)} user",
            "role-unlisted",
        )


def _offload(sent: Offload | None, now: datetime) -> Iterator[Status]:
    if sent is None:
        yield Status(
            "warning",
            "offload",
            "audit trail",
            "The audit trail is to be sent elsewhere (PORTAL_OFFLOAD_TO), and never was.",
            "docker compose --profile offload up -d offload",
            "offload",
        )
        return
    behind = f"{sent.behind} events are not at the collector yet"
    if sent.problem or now - sent.at > OFFLOAD_LATE:
        why = sent.problem or f"the sender was last heard of {_minutes(now - sent.at)} ago"
        yield Status(
            "warning",
            "offload",
            "audit trail",
            f"The audit trail is not being sent elsewhere: {why}. {behind}; none is lost.",
            "docker compose logs --tail 50 offload",
            "offload",
        )
        return
    said = behind if sent.behind else "The collector has every event of the audit trail"
    yield Status("ok", "offload", "audit trail", f"{said}.")


def _directory(look: Look | None, now: datetime) -> Iterator[Status]:
    if look is None:  # none is asked
        return
    if now - look.at > db.directory.IN_USE:
        yield Status(
            "warning",
            "directory",
            "people",
            f"The directory was last asked {_minutes(now - look.at)} ago. Who is in which group by"
            " it stays so until an administrator changes it.",
            "docker compose logs worker; or PORTAL_DIRECTORY_URL is empty on purpose",
            "directory",
        )
        return
    said = [look.problem, f"{look.ambiguous} people fit several entries" if look.ambiguous else ""]
    if not any(said):
        yield Status(
            "ok",
            "directory",
            "people",
            f"The directory answered {_minutes(now - look.at)} ago: {look.people} people, of whom"
            f" {look.missing} are not in it.",
        )
        return
    last = look.succeeded_at
    since = f" It last answered {_minutes(now - last)} ago." if last and last != look.at else ""
    yield Status(
        "warning",
        "directory",
        "people",
        f"The directory: {'; '.join(filter(None, said))}.{since}",
        "docker compose exec worker python3 admin.py group look",
        "directory",
    )


def _backup(last: datetime | None, now: datetime, *, by_hand: bool) -> Iterator[Status]:
    if last is None:
        yield Status(
            "warning",
            "backup",
            "backup",
            "No backup has ever been made.",
            BACK_UP_BY_HAND if by_hand else BACK_UP,
            "backup-late",
        )
    elif now - last > BACKUP_LATE:
        yield Status(
            "critical",
            "backup",
            "backup",
            f"The last backup is {(now - last).days} days old.",
            BACK_UP_BY_HAND if by_hand else "docker compose logs backup",
            "backup-late",
        )
    else:
        yield Status("ok", "backup", "backup", f"The last backup is {_minutes(now - last)} old.")


def _still_held(tx: Tx, now: datetime) -> list[Status]:
    """GPUs of containers that ended, or were given up, and are not seen to be gone."""
    return [
        Status(
            "warning",
            "gpu",
            vm.name,
            f"{len(gpus)} {'GPU' if len(gpus) == 1 else 'GPUs'} of {vm.name} cannot be given to"
            f" others: {over.name} of {over.owner.display_name} ended"
            f" {_minutes(now - (over.stopped_at or over.updated_at))} ago, but its container is"
            " still there.",
            addresses.on(vm, f"docker rm --force {container_name(over.id)}"),
            "gpu-held",
        )
        for deployment_id, gpus in db.leases.left_over(tx).items()
        if (over := db.deployments.by_id(tx, deployment_id)) and (vm := over.vm)
    ]


def _vm(portal: Portal, vm: Vm, gpus: list[Gpu]) -> Iterator[Status]:
    if not vm.reachable:
        yield Status(
            "critical",
            "vm",
            vm.name,
            f"{vm.name} cannot be reached: {vm.error or 'it has never been reached.'}",
            addresses.on(vm, "systemctl status docker ssh"),
            "vm-unreachable",
        )
        return
    good = True
    for problem in [*vm_health.gpu_problems(vm, gpus), *vm_health.of_vm(vm, portal.now())]:
        good = False
        yield Status(
            "critical" if problem.grave else "warning",
            problem.kind,
            vm.name,
            problem.message,
            _command(problem, vm),
            SECTIONS.get(problem.kind, f"vm-{problem.kind}"),
        )
    if vm.state is VmState.NEW:
        good = False
        yield Status(
            "warning",
            "vm",
            vm.name,
            f"{vm.name} has been added but not verified yet.",
            f"docker compose exec api python3 admin.py vm verify {vm.name}",
            "vm-new",
        )
    if vm.last_seen_at is None:
        yield Status(
            "warning",
            "vm",
            vm.name,
            f"{vm.name} has not been seen yet. It is looked at every few seconds.",
            "docker compose logs --tail 20 worker",
            "vm-unreachable",
        )
    elif good:
        yield Status("ok", "vm", vm.name, f"{vm.name} is healthy.")


def _idle(vm: Vm, owner: User) -> Status:
    return Status(
        "warning",
        "vm",
        vm.name,
        f"{vm.name} is dedicated to {owner.display_name}, who was retired: nobody can use it.",
        f"docker compose exec api python3 admin.py vm assign {vm.name}",
        "vm-of-a-retired-person",
    )


def _in_use(vm: Vm, port: int, ago: timedelta) -> Status:
    return Status(
        "warning",
        "port",
        f"{vm.name}:{port}",
        f"Port {port} of {vm.name} was in use by something else {_minutes(ago)} ago; its user was"
        " given another.",
        addresses.on(vm, f"sudo ss -ltnp sport = :{port}"),
        "port-in-use",
    )


def _stuck(deployment: Deployment, span: timedelta) -> Status:
    assert deployment.trouble is not None
    ends = deployment.state in lifecycle.ENDING
    command = f"{'give-up' if ends else 'stop'} {deployment.id} --reason '…'"
    return Status(
        "critical" if span > STUCK_LONG else "warning",
        "deployment",
        deployment.id,
        f"{deployment.name} of {deployment.owner.display_name} has been {deployment.state}"
        f" for {_minutes(span)} without success: {deployment.trouble.message}",
        f"docker compose exec api python3 admin.py deployment {command}",
        "deployment-stuck",
    )


def _command(problem: Problem, vm: Vm) -> str:
    return problem.hint if problem.from_portal else addresses.on(vm, problem.hint)


def _minutes(span: timedelta) -> str:
    minutes = int(span.total_seconds() // 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"
