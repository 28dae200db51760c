"""The nouns.

Frozen values; portal.db keeps them, the use cases change them.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import date, datetime

from portal.core.people import User
from portal.core.resources import Resources


class State(enum.StrEnum):
    """Where a deployment is in its life; see lifecycle.py for the allowed ways between them."""

    WAITING = "waiting"
    PENDING = "pending"
    PULLING = "pulling"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    REMOVING = "removing"
    REMOVED = "removed"
    FAILED = "failed"


class StopReason(enum.StrEnum):
    """Why a deployment stopped, apart from that it did."""

    USER = "user"
    ADMIN = "admin"
    LEAD = "lead"
    """Somebody who leads the group that it counts for."""
    OUT_OF_MEMORY = "out_of_memory"
    EXIT_CODE = "exit_code"
    CONTAINER_GONE = "container_gone"
    VM_RESTARTED = "vm_restarted"
    """Its VM, or the engine there, was restarted."""
    VM_LOST = "vm_lost"
    NOT_WANTED = "not_wanted"
    """It was stopped, and somebody started it on the VM by hand."""


class VmState(enum.StrEnum):
    """Whether a VM takes new deployments."""

    NEW = "new"
    """Added, and not verified yet."""
    ACTIVE = "active"
    DRAINING = "draining"
    REMOVED = "removed"


class GpuState(enum.StrEnum):
    """Whether a GPU may be handed out."""

    OK = "ok"
    UNHEALTHY = "unhealthy"
    MISSING = "missing"

    @classmethod
    def _missing_(cls, value: object) -> GpuState | None:
        """Read what earlier builds wrote."""
        return cls.UNHEALTHY if value == "ill" else None


class ReleaseState(enum.StrEnum):
    """Whether a release may run: approved ones may, deprecated ones may start again."""

    CANDIDATE = "candidate"
    APPROVED = "approved"
    DEPRECATED = "deprecated"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True)
class Vm:
    """A user VM. `address` is where its published ports are reached from the gateway.

    Dedicated to `owner_id`, or in `pool`. `gpu_access` is how its engine hands GPUs out: "nvidia"
    (the runtime) or "cdi"; `gpu_problem` is the code of what keeps it from doing so. `firewall` and
    what follows is what the VM last reported of itself (engine.VmReport), at `checked_at`; None:
    never.
    """

    id: int
    name: str
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
    last_seen_at: datetime | None
    firewall: str | None = None
    disk_free_gb: float | None = None
    clock_skew_s: float | None = None
    checked_at: datetime | None = None
    synchronised: bool | None = None
    ports_reserved: bool | None = None
    drain_by: datetime | None = None
    """When it is to be empty, while it drains."""
    drain_reason: str = ""
    """Why, for the owners of what runs there."""
    breaches: str = ""
    """What containers reached there and must not, as last measured."""


@dataclass(frozen=True)
class Gpu:
    """A GPU or MIG instance of a VM.

    `uuid` is how leases and engines name it; `parent` is a MIG instance's GPU. Memory in GB (2³⁰
    bytes), utilisation in percent, temperature in °C; None: not reported.
    """

    uuid: str
    vm_id: int
    index: int
    model: str
    parent: str | None
    state: GpuState
    problem: str | None
    memory_gb: float
    memory_used_gb: float | None
    utilisation: float | None
    temperature: float | None


@dataclass(frozen=True)
class Release:
    """A built, scanned, signed digest of an image.

    `reference` is name@digest as the engine pulls it.

    `download_bytes`: its compressed layers, 0 when not known. `scanned_at`: of the last report.
    `reason`: why it was deprecated or withdrawn.
    """

    id: int
    image: str
    version: str
    reference: str
    digest: str
    size_bytes: int
    state: ReleaseState
    standin: bool
    created_at: datetime
    published_by: str = ""
    approved_by: str = ""
    approved_at: datetime | None = None
    highlights: tuple[str, ...] = ()
    download_bytes: int = 0
    scanned_at: datetime | None = None
    refused_for: str = ""
    """The kind of the last report's first finding that the policy refuses; "" if it passed."""
    problem: str = ""
    """That finding in words."""
    waived: int = 0
    """How many findings of the last report only a waiver let pass."""
    waived_until: date | None = None
    """The last day on which all of them do."""
    verified_at: datetime | None = None
    """When the registry last showed a good signature."""
    reason: str = ""


@dataclass(frozen=True)
class Order:
    """What a person asks for. Sizes in GB (2³⁰ bytes) and whole or fractional CPUs."""

    image: str
    name: str = ""
    gpus: int = 0
    memory_gb: float = 2.0
    cpus: float = 1.0
    gpu_model: str = ""
    ssh: bool = False
    group: str = ""
    """Which of the person's groups it counts for; "": the main one, where they are in any."""

    @property
    def resources(self) -> Resources:
        """What it takes from a VM and from quotas."""
        return Resources(gpus=self.gpus, memory_gb=self.memory_gb, cpus=self.cpus)


@dataclass(frozen=True)
class LayerProgress:
    """One layer of a pull, in bytes; `total` is 0 while the registry has not said."""

    layer: str
    current: int
    total: int
    status: str


@dataclass(frozen=True)
class Failure:
    """Why a deployment failed, as its owner reads it."""

    code: str
    message: str
    hint: str


@dataclass(frozen=True)
class Trouble:
    """What keeps a request from being done, or went wrong inside while it runs, and since when."""

    code: str
    message: str
    hint: str
    since: datetime


@dataclass(frozen=True)
class Deployment:
    """One container a user asked for, with everything the pages and the worker need.

    `vm` is None only while it waits for one.
    """

    id: str
    name: str
    state: State
    owner: User
    vm: Vm | None
    release: Release
    slot: int | None
    gpus: int
    gpu_model: str
    gpu_uuids: tuple[str, ...]
    memory_gb: float
    cpus: float
    ssh: bool
    jupyter_token: str = field(repr=False)
    restart_after_stop: bool
    stop_reason: StopReason | None
    stop_note: str
    """What its owner reads beside the reason; "" for nothing."""
    failure: Failure | None
    trouble: Trouble | None
    progress: tuple[LayerProgress, ...]
    created_at: datetime
    updated_at: datetime
    pending_since: datetime | None
    """When its start was last asked for, or its turn in the queue came."""
    started_at: datetime | None
    stopped_at: datetime | None
    last_activity_at: datetime | None
    waiting_since: datetime | None
    waits_for: str | None
    position: int | None
    impossible_since: datetime | None
    group: str = ""
    """Which of its owner's groups it counts for; "": none."""

    @property
    def resources(self) -> Resources:
        """What it takes from a VM and from quotas."""
        return Resources(gpus=self.gpus, memory_gb=self.memory_gb, cpus=self.cpus)

    @property
    def order(self) -> Order:
        """The order it was made from, to place it again."""
        return Order(
            self.release.image,
            self.name,
            gpus=self.gpus,
            memory_gb=self.memory_gb,
            cpus=self.cpus,
            gpu_model=self.gpu_model,
            ssh=self.ssh,
            group=self.group,
        )

    @property
    def unreachable(self) -> bool:
        """Its VM cannot be reached; what is shown may be old."""
        return self.vm is not None and not self.vm.reachable
