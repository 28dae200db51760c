"""The columns of tables that use cases write, by type: what a row may be given by name."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, TypedDict

from portal.core.models import ReleaseState, State, StopReason, VmState
from portal.core.people import Role


class UserColumns(TypedDict, total=False):
    """Of users; `ssh_keys`: each as the fields of SshKey."""

    display_name: str
    role: Role
    group: str
    range_index: int | None
    subject: str
    card_name: str
    named_at: datetime | None
    merged_into: int | None
    retired_at: datetime | None
    retired_reason: str
    disabled_at: datetime | None
    disabled_reason: str
    disabled_by: str
    last_seen_at: datetime | None
    sessions_ended_at: datetime | None
    in_directory: bool
    scopes: str
    ends_at: datetime | None
    root: str
    ssh_keys: list[dict[str, Any]]


class VmColumns(TypedDict, total=False):
    """Of vms; memory in GB (2³⁰ bytes), the clock's skew in seconds."""

    engine_url: str
    address: str
    owner_id: int | None
    pool: str
    state: VmState
    reachable: bool
    error: str | None
    cpus: int | None
    memory_gb: float | None
    driver: str | None
    cuda: str | None
    gpu_access: str | None
    gpu_problem: str | None
    last_seen_at: datetime
    firewall: str
    disk_free_gb: float | None
    clock_skew_s: float | None
    checked_at: datetime
    synchronised: bool | None
    ports_reserved: bool | None
    drain_by: datetime | None
    drain_reason: str
    breaches: str


class ReleaseColumns(TypedDict, total=False):
    """Of releases; sizes in bytes."""

    image: str
    version: str
    reference: str
    digest: str
    size_bytes: int
    state: ReleaseState
    standin: bool
    created_at: datetime
    approved_at: datetime
    published_by: str
    approved_by: str
    highlights: list[str]
    download_bytes: int
    scanned_at: datetime
    refused_for: str
    problem: str
    waived: int
    waived_until: date | None
    verified_at: datetime | None
    reason: str


class DeploymentColumns(TypedDict, total=False):
    """Of deployments; `failure` and `trouble`: their fields; `progress`: of each LayerProgress.

    The time in `trouble` is written by ISO 8601.
    """

    id: str
    name: str
    state: State
    owner_id: int
    group: str
    vm_id: int
    release_id: int
    slot: int | None
    gpus: int
    gpu_model: str
    gpu_uuids: list[str] | None
    memory_gb: float
    cpus: float
    ssh: bool
    jupyter_token: str
    restart_after_stop: bool
    stop_reason: StopReason | None
    stop_note: str | None
    failure: dict[str, str] | None
    trouble: dict[str, str] | None
    progress: list[dict[str, Any]] | None
    created_at: datetime
    updated_at: datetime
    pending_since: datetime
    started_at: datetime
    stopped_at: datetime | None
    last_activity_at: datetime
    waiting_since: datetime | None
    waits_for: str | None
    position: int | None
    impossible_since: datetime | None
    lock_token: str | None
    lock_expires_at: datetime | None


NOT_WAITING: DeploymentColumns = {
    "waiting_since": None,
    "waits_for": None,
    "position": None,
    "impossible_since": None,
}
"""Of a deployment that is not in the queue."""
UNLOCKED: DeploymentColumns = {"lock_token": None, "lock_expires_at": None}
"""Of a deployment that no worker holds: whoever worked on it drops it at the next write."""
