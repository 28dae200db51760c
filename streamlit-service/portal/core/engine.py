"""The engine protocol: what the product needs from a Docker Engine on a VM, and nothing more."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from portal.core.models import LayerProgress

LABEL_DEPLOYMENT = "org.container-portal.deployment"
LABEL_OWNER = "org.container-portal.owner"
LABEL_GPUS = "org.container-portal.gpus"
LABEL_SPEC = "org.container-portal.spec"
LABEL_PORTAL = "org.container-portal.instance"

OnProgress = Callable[[tuple[LayerProgress, ...]], None]


@dataclass(frozen=True)
class ContainerSpec:
    """A container as a pure value: built by spec.spec_for, executed by an Engine."""

    name: str
    image: str
    labels: Mapping[str, str]
    environment: Mapping[str, str]
    publish: Mapping[int, tuple[str, int]]
    """Container port → (VM address, VM port)."""
    volumes: Mapping[str, str]
    """Volume name → path in the container."""
    tmpfs: Mapping[str, str]
    """Path → mount options: in memory."""
    memory_bytes: int
    shm_bytes: int
    cpus: float
    pids: int
    hostname: str
    gpus: tuple[str, ...] = ()
    """UUIDs, as the engine is asked for them."""
    gpu_access: str = ""
    """"nvidia" or "cdi": how this engine hands GPUs out."""
    network: str = ""
    """Created if missing; its bridge is named `bridge`, by which the VM's firewall knows it."""
    bridge: str = ""
    scratch: Mapping[str, int] = field(default_factory=dict)
    """Path → bytes: on disk, gone with the container; bounded where the VM's disk can bound it."""
    command: tuple[str, ...] = ()
    """Instead of the image's own."""

    @property
    def digest(self) -> str:
        """Equal exactly for equal specifications."""
        values = {name: value for name, value in vars(self).items() if name != "command" or value}
        return hashlib.sha256(repr(sorted(values.items())).encode()).hexdigest()


@dataclass(frozen=True)
class ContainerStatus:
    """What the engine says of a container."""

    id: str
    deployment_id: str
    running: bool
    exit_code: int | None
    out_of_memory: bool
    spec_digest: str = ""
    """Of the specification it was made from."""
    paused: bool = False
    """It runs and is frozen: nothing in it answers."""
    started_at: datetime | None = None
    """When it last started; None where the engine was not asked."""
    gpus: tuple[str, ...] = ()
    """UUIDs of those that it was given."""
    finished_at: datetime | None = None
    """When it last ended; None where the engine was not asked."""


@dataclass(frozen=True)
class Statistics:
    """What a container used: processor time in seconds since its start, memory in bytes now.

    Memory is without the files that the kernel keeps in it while there is room.
    """

    cpu_s: float
    memory_bytes: int


@dataclass(frozen=True)
class EngineInfo:
    """What a VM's engine says of its machine."""

    version: str
    cpus: int
    memory_gb: float
    at: datetime | None = None
    """Its clock's time; events are asked for by it."""


@dataclass(frozen=True)
class SeenGpu:
    """A GPU or MIG instance as a VM reports it; units as in models.Gpu."""

    uuid: str
    index: int
    model: str
    parent: str | None
    memory_gb: float
    memory_used_gb: float | None
    utilisation: float | None
    temperature: float | None
    problem: str | None = None


@dataclass(frozen=True)
class GpuReport:
    """What a VM says of its GPUs.

    `access`: "nvidia" or "cdi"; `problem`: what keeps them from being used.
    """

    gpus: tuple[SeenGpu, ...] = ()
    driver: str | None = None
    cuda: str | None = None
    access: str | None = None
    problem: str | None = None


@dataclass(frozen=True)
class VmReport:
    """What a VM says of itself.

    `firewall`: portal-firewall's word (ok, missing, changed, stale, not_at_boot), "none" where it
    was never installed, "no_gate" where nobody could be asked, or "unknown". Disk in GB below
    /var/lib/docker. `clock_skew_s`: how far its clock is ahead of ours.
    """

    firewall: str
    disk_free_gb: float | None = None
    disk_total_gb: float | None = None
    clock_skew_s: float | None = None
    synchronised: bool | None = None
    reserved_ports: str | None = None


class Engine(Protocol):
    """One Docker Engine on one VM. Every call has a deadline and raises EngineError."""

    def info(self) -> EngineInfo:
        """Version and size of the machine; also the probe whether it answers."""

    def started_at(self) -> datetime | None:
        """When the engine itself started; None where it does not tell."""

    def out_of_memory(self, since: datetime, until: datetime) -> dict[str, datetime]:
        """Deployment id → when something in its container was last killed for lack of memory.

        By the engine's clock, later than `since`; it forgets at a restart.
        """

    def gpus(self) -> GpuReport:
        """The VM's GPUs, driver and toolkit."""

    def check(self) -> VmReport | None:
        """Firewall, disk and clock of the VM; None where nobody answers (local socket, no gate)."""

    def has_image(self, reference: str) -> bool:
        """Whether the digest is already on the VM."""

    def pull(self, reference: str, on_progress: OnProgress) -> None:
        """Pull by digest.

        `on_progress` is called from this thread; what it raises ends the pull.
        """

    def images(self) -> set[str]:
        """name@digest of every image on the VM that came from a registry."""

    def remove_image(self, reference: str) -> None:
        """Delete an image; no-op when it is gone, EngineError while a container uses it."""

    def create(self, spec: ContainerSpec) -> str:
        """Create the container (its volumes and network with it) and return its id."""

    def start(self, container_id: str) -> None:
        """Start a created or stopped container; no-op when it runs."""

    def stop(self, container_id: str, grace_s: int) -> None:
        """Stop; no-op when it is stopped or gone."""

    def remove(self, container_id: str) -> None:
        """Remove by force, named volumes kept; no-op when it is gone."""

    def inspect(self, container_id: str) -> ContainerStatus | None:
        """Status, or None when there is no such container."""

    def statistics(self, container_id: str) -> Statistics | None:
        """What a container uses; None when it does not run."""

    def volume_sizes(self) -> dict[str, int] | None:
        """Bytes in each volume, by name; None where the engine cannot say. Takes long."""

    def containers(self, expected: Collection[str]) -> list[ContainerStatus]:
        """All containers this portal made on the VM, running or not.

        Why one ended is told only of those of the `expected` deployments.
        """

    def logs(self, container_id: str, *, tail: int, since: str = "") -> bytes:
        """The last lines, each after its RFC 3339 time stamp; with `since`, only those after it."""

    def prune_networks(self, keep: Callable[[], Collection[str]]) -> None:
        """Remove this portal's networks on the VM that are not needed and hold no container.

        `keep` is asked once they are listed: what came since is not among them.
        """

    def close(self) -> None:
        """Give back the connection."""
