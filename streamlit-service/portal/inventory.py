"""VMs: add them, and record what probes saw. Probing itself is the reconciler's."""

from __future__ import annotations

import re

from portal import audit, store
from portal.context import Portal
from portal.engine import EngineInfo
from portal.errors import Conflict, Invalid, NotFound
from portal.models import Vm
from portal.placement import SHARED_POOL

VM_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?")


def add(
    portal: Portal, actor: str, name: str, engine_url: str, address: str, owner: str | None = None,
    pool: str = SHARED_POOL,
) -> Vm:  # fmt: skip
    """Add a VM to a pool, or for one user (by subject). Adding the same again changes nothing."""
    if not VM_NAME.fullmatch(name):
        raise Invalid("bad_vm_name", f"{name[:60]!r} is no host name.", "Use small letters, digits, dots, hyphens.")
    if not engine_url.startswith(("unix:///", "ssh://")):
        raise Invalid("bad_engine", "The engine must be unix:///path or ssh://user@host[:port].", "See the guide.")
    now = portal.now()
    with portal.store.transaction() as tx:
        owner_id = _owner_id(tx, owner)
        known = store.vm_by_name(tx, name)
        if known and (known.engine_url, known.address, known.owner_id, known.pool) == (
            engine_url,
            address,
            owner_id,
            pool,
        ):
            return known
        if known:
            raise Conflict("vm_exists", f"There is a VM {name} with other settings.", "Choose another name.")
        store.insert_vm(tx, name, engine_url, address, owner_id, pool)
        audit.append(tx, now, actor, "vm.added", f"vm:{name}", engine=engine_url, address=address, owner=owner,
                     pool=pool)  # fmt: skip
        made = store.vm_by_name(tx, name)
    assert made is not None
    portal.wake()
    return made


def _owner_id(tx: store.Tx, subject: str | None) -> int | None:
    if subject is None:
        return None
    user = store.user_by_subject(tx, subject)
    if user is None:
        raise NotFound("no_such_user", f"No user {subject} is known.", "They appear once they have signed in.")
    return user.id


def seen(portal: Portal, vm: Vm, info: EngineInfo) -> None:
    """Record a probe that was answered; coming back is audited."""
    now = portal.now()
    with portal.store.transaction() as tx:
        store.update_vm(tx, vm.id, reachable=True, error=None, cpus=info.cpus, memory_gb=info.memory_gb,
                        last_seen_at=now)  # fmt: skip
        if not vm.reachable:
            audit.append(tx, now, "worker", "vm.reachable", f"vm:{vm.name}", engine=info.version)


def lost(portal: Portal, vm: Vm, error: str) -> None:
    """Record a probe that failed; the first of a row is audited."""
    now = portal.now()
    with portal.store.transaction() as tx:
        store.update_vm(tx, vm.id, reachable=False, error=error[:500])
        if vm.reachable:
            audit.append(tx, now, "worker", "vm.unreachable", f"vm:{vm.name}", error=error[:500])
