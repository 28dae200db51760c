"""Rows become models: the mapping between columns and dataclasses."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from portal.core.models import (
    Deployment,
    Failure,
    Gpu,
    GpuState,
    LayerProgress,
    Release,
    ReleaseState,
    State,
    StopReason,
    Trouble,
    Vm,
    VmState,
)
from portal.core.people import Certificate, Role, Scope, SshKey, User
from portal.core.resources import Quota
from portal.db.people_schema import memberships, users
from portal.db.schema import deployments, releases, vms

_JOINED = (("user", users), ("vm", vms), ("release", releases))


def _groups(which: sa.ColumnElement[bool]) -> sa.ScalarSelect[str]:
    """Names of the groups of a row of users, with commas between (no name has any)."""
    return (
        sa.select(sa.func.aggregate_strings(memberships.c.group, ","))
        .where(memberships.c.user_id == users.c.id, which)
        .correlate(users)
        .scalar_subquery()
    )


_OF_USERS = {"groups": _groups(sa.true()), "leads": _groups(memberships.c.leads)}
"""What a User has beside the columns of its row."""


def user_select() -> sa.Select[Any]:
    """Users, with their groups."""
    return sa.select(users, *(value.label(name) for name, value in _OF_USERS.items()))


def deployment_select() -> sa.Select[Any]:
    """Deployments with their owner, VM and release, columns prefixed by table."""
    joined: list[sa.Label[Any]] = [
        column.label(f"{prefix}__{column.name}") for prefix, table in _JOINED for column in table.c
    ]
    joined += [value.label(f"user__{name}") for name, value in _OF_USERS.items()]
    return (
        sa.select(deployments, *joined)
        .join(users, users.c.id == deployments.c.owner_id)
        .outerjoin(vms, vms.c.id == deployments.c.vm_id)
        .join(releases, releases.c.id == deployments.c.release_id)
    )


def user(row: Any, prefix: str = "") -> User:
    """A User from a row of user_select(), or from the prefixed columns of a join."""
    values = _pick(row, User, prefix, role=Role)
    values["ssh_keys"] = tuple(SshKey(**key) for key in values["ssh_keys"] or ())
    values["scopes"] = tuple(Scope(each) for each in (values["scopes"] or "").split(",") if each)
    for name in _OF_USERS:
        values[name] = tuple(sorted(values[name].split(","))) if values[name] else ()
    return User(**values)


def certificate(row: Any) -> Certificate:
    """A Certificate from a row of certificates."""
    return Certificate(**_pick(row, Certificate, ""))


def vm(row: Any, prefix: str = "") -> Vm:
    """A Vm from a row of vms, or from the prefixed columns of a join."""
    return Vm(**_pick(row, Vm, prefix, state=VmState))


def gpu(row: Any) -> Gpu:
    """A Gpu from a row of gpus."""
    return Gpu(**_pick(row, Gpu, "", state=GpuState))


def quota(row: Any) -> Quota:
    """A Quota from a row of quotas; None where it sets no limit."""
    return Quota(**_pick(row, Quota, ""))


def release(row: Any, prefix: str = "") -> Release:
    """A Release from a row of releases, or from the prefixed columns of a join."""
    values = _pick(row, Release, prefix, state=ReleaseState)
    return Release(**values | {"highlights": tuple(values["highlights"] or ())})


def deployment(row: Row[Any]) -> Deployment:
    """A Deployment from a row of deployment_select()."""
    get = row._mapping
    return Deployment(
        id=get["id"],
        name=get["name"],
        state=State(get["state"]),
        owner=user(row, "user__"),
        vm=vm(row, "vm__") if get["vm__id"] is not None else None,
        release=release(row, "release__"),
        slot=get["slot"],
        gpus=get["gpus"],
        gpu_model=get["gpu_model"],
        gpu_uuids=tuple(get["gpu_uuids"] or ()),
        memory_gb=get["memory_gb"],
        cpus=get["cpus"],
        ssh=get["ssh"],
        jupyter_token=get["jupyter_token"],
        restart_after_stop=get["restart_after_stop"],
        stop_reason=StopReason(get["stop_reason"]) if get["stop_reason"] else None,
        stop_note=get["stop_note"] or "",
        failure=Failure(**get["failure"]) if get["failure"] else None,
        trouble=_trouble(get["trouble"]),
        progress=tuple(LayerProgress(**layer) for layer in get["progress"] or ()),
        created_at=get["created_at"],
        updated_at=get["updated_at"],
        pending_since=get["pending_since"],
        started_at=get["started_at"],
        stopped_at=get["stopped_at"],
        last_activity_at=get["last_activity_at"],
        waiting_since=get["waiting_since"],
        waits_for=get["waits_for"],
        position=get["position"],
        impossible_since=get["impossible_since"],
        group=get["group"],
    )


def stored(trouble: Trouble) -> dict[str, str]:
    """As the column holds it."""
    return {**vars(trouble), "since": trouble.since.isoformat()}


def _trouble(stored: dict[str, str] | None) -> Trouble | None:
    if not stored:
        return None
    return Trouble(**{**stored, "since": datetime.fromisoformat(stored["since"])})  # type: ignore[arg-type]


def _pick(row: Any, model: Any, prefix: str, **enums: Any) -> dict[str, Any]:
    get = row._mapping
    values = {name: get[prefix + name] for name in model.__dataclass_fields__}
    for name, enum in enums.items():
        values[name] = enum(values[name])
    return values
