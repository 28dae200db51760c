"""One look at a whole portal: rows, leases, containers, disks, networks, ports, the audit trail."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

from portal.core.engine import LABEL_DEPLOYMENT, LABEL_PORTAL
from stack import Stack

from harness.fleet import TestVm

ROWS = """
import bootstrap, json, sqlalchemy as sa
from portal import db
from portal.core.models import State
from portal.db.schema import deployments, vms
portal = bootstrap.portal(bootstrap.settings())
columns = deployments.c.id, deployments.c.owner_id, deployments.c.state, vms.c.name
with portal.database.reading() as tx:
    query = sa.select(*columns).join(vms, vms.c.id == deployments.c.vm_id, isouter=True)
    rows = tx.execute(query.where(deployments.c.state != State.REMOVED)).tuples().all()
    found = {
        "rows": [list(row) for row in rows],
        "leases": [[e["kind"], e["resource"], e["deployment_id"]] for e in db.leases.live(tx)],
        "broken_at": db.audit.verify(tx).broken_at,
    }
print(json.dumps(found))
"""
AGREE_S = 60
SETTLED = {"running", "stopped", "failed", "waiting"}


def troubles(system: Stack, *vms: TestVm) -> list[str]:
    """What does not agree, a line each; nothing is at work and every VM is there."""
    said = system.compose("exec", "-T", "api", "python3", "-c", ROWS, capture=True)
    found: dict[str, Any] = json.loads(said.strip().splitlines()[-1])
    rows = {row[0]: row for row in found["rows"]}
    lines = [] if found["broken_at"] is None else [f"audit broken at {found['broken_at']}"]
    lines += [f"{row[0]} is {row[2]}" for row in rows.values() if row[2] not in SETTLED]
    seen = {vm.name: _containers(vm) for vm in vms}
    for vm in vms:
        mine = {key: row for key, row in rows.items() if row[3] == vm.name}
        lines += [f"orphan: {key} on {vm.name}" for key in seen[vm.name].keys() - mine.keys()]
        runs = {key: box for key, box in seen[vm.name].items() if box["State"]["Running"]}
        should = {key for key, row in mine.items() if row[2] == "running"}
        lines += [f"{key} runs on {vm.name} and should not" for key in runs.keys() - should]
        lines += [f"{key} does not run on {vm.name}" for key in should - runs.keys()]
        for key in runs.keys() & should:
            lines += _has_what_it_leased(mine[key], runs[key], found["leases"])
        lines += [f"left on {vm.name}: volume {name}" for name in _left_volumes(vm)]
        owners = {str(row[1]) for row in mine.values()}
        lines += [f"left on {vm.name}: network {name}" for name in _left_networks(vm, owners)]
    twice = Counter(key for each in seen.values() for key in each)
    lines += [f"double: {key}" for key, times in twice.items() if times > 1]
    return lines + list(_leases(rows, found["leases"]))


def agreed(system: Stack, *vms: TestVm) -> list[str]:
    """What still does not agree, once the portal had time for a look at its VMs."""
    deadline = time.monotonic() + AGREE_S
    while (found := troubles(system, *vms)) and time.monotonic() < deadline:
        time.sleep(1)  # between looks at somebody else's progress
    return found


def _containers(vm: TestVm) -> dict[str, dict[str, Any]]:
    """Deployment id → its container as the engine describes it."""
    ids = vm.run("docker", "ps", "--all", "--quiet", "--filter", f"label={LABEL_DEPLOYMENT}")
    if not ids:
        return {}
    described = json.loads(vm.run("docker", "inspect", *ids.split()))
    return {box["Config"]["Labels"][LABEL_DEPLOYMENT]: box for box in described}


def _has_what_it_leased(
    row: list[Any], box: dict[str, Any], leases: list[list[str]]
) -> Iterable[str]:
    """Its GPUs, its ports, its owner's network: neither others nor fewer."""
    key, owner = row[:2]
    leased = {
        kind: {resource for what, resource, holder in leases if (what, holder) == (kind, key)}
        for kind in ("gpu", "port")
    }
    host = box["HostConfig"]
    requests = host["DeviceRequests"] or []
    gpus = {each.rpartition("=")[2] for one in requests for each in one["DeviceIDs"] or []}
    if gpus != leased["gpu"]:
        yield f"{key} runs with GPUs {gpus}, and leased {leased['gpu']}"
    ports = {each["HostPort"] for one in host["PortBindings"].values() for each in one}
    if not ports or not ports <= leased["port"]:
        yield f"{key} publishes {ports}, and leased {leased['port']}"
    networks = list(box["NetworkSettings"]["Networks"])
    if [name.rpartition("-")[2] for name in networks] != [str(owner)]:
        yield f"{key} of {owner} is on {networks}"


def _left_volumes(vm: TestVm) -> list[str]:
    """Disks that no container has; home folders stay by intention."""
    names = vm.run("docker", "volume", "ls", "--quiet", "--filter", "dangling=true").split()
    return [name for name in names if not name.startswith("portal-home-")]


def _left_networks(vm: TestVm, owners: set[str]) -> list[str]:
    """Networks of people who have nothing there; a VM's verification has its own at times."""
    ours = f"label={LABEL_PORTAL}"
    names = vm.run("docker", "network", "ls", "--filter", ours, "--format", "{{.Name}}").split()
    return [name for name in names if name.rpartition("-")[2] not in owners | {"verify"}]


def _leases(rows: dict[str, Any], leases: list[list[str]]) -> Iterable[str]:
    for kind, resource, key in leases:
        state = rows[key][2] if key in rows else "removed"
        if state not in {"running", "waiting"} and not (kind == "port" and key in rows):
            yield f"leaked: {kind} {resource} of {key}, which is {state}"
    held = Counter((kind, resource) for kind, resource, _ in leases)
    yield from (f"double lease: {what}" for what, times in held.items() if times > 1)
    compute = {key for kind, _, key in leases if kind == "compute"}
    yield from (
        f"{key} runs without a lease"
        for key, row in rows.items()
        if row[2] == "running" and key not in compute
    )
