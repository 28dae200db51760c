"""What REST v1 shows and takes: the models of its OpenAPI description."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

from portal.core import ports
from portal.core.catalog import Image
from portal.core.models import Deployment, LayerProgress, Release, ReleaseState, State, User, Vm
from portal.core.settings import Settings
from portal.images import Ready
from portal.scheduling.quotas import MOST
from portal.users.permissions import Allowance
from portal.users.usage import Usage
from portal.vms.gpus import Tile
from pydantic import BaseModel, ConfigDict, Field

MB = 10**6
SSH_USER = "scientist"


class AllowanceView(BaseModel):
    """What may be held in all, and what is held or waited for now."""

    limits: dict[str, int | float]
    held: dict[str, int | float]

    @classmethod
    def of(cls, allowance: Allowance) -> AllowanceView:
        """The view of an allowance."""
        kinds = ("gpus", "memory_gb", "cpus", "deployments")
        return cls(
            limits={kind: getattr(allowance, kind) for kind in kinds},
            held={kind: getattr(allowance, f"{kind}_held") for kind in kinds},
        )


class Me(BaseModel):
    """Who the certificate says you are, and what you may ask for."""

    subject: str
    name: str
    role: str
    group: str
    ports: tuple[int, int] = Field(description="first and last port of your range")
    limits: dict[str, int | float]
    held: dict[str, int | float]
    group_quota: AllowanceView | None = Field(
        description="what all members of your group share, if it is limited"
    )

    @classmethod
    def of(cls, user: User, own: Allowance, group: Allowance | None) -> Me:
        """The view of a user."""
        span, mine = ports.range_of(user.range_index), AllowanceView.of(own)
        return cls(
            subject=user.subject,
            name=user.display_name,
            role=user.role,
            group=user.group,
            ports=(span[0], span[-1]),
            limits=mine.limits,
            held=mine.held,
            group_quota=AllowanceView.of(group) if group is not None else None,
        )


class ImageView(BaseModel):
    """An image that may be deployed, with its approved release."""

    name: str
    title: str
    purpose: str
    gpu: bool
    packages: list[str]
    release: str
    digest: str
    size_mb: int
    download_mb: int = Field(description="compressed; 0 when not known")
    scanned_at: datetime | None
    waived: int = Field(description="findings that only a waiver lets pass")
    released_at: datetime
    standin: bool = Field(description="built on a stand-in base; never in production")
    ready_on: list[str] = Field(description="those of your VMs that have it already")

    @classmethod
    def of(cls, image: Image, release: Release, ready: Ready) -> ImageView:
        """The view of an image."""
        return cls(
            name=image.name,
            title=image.title,
            purpose=image.purpose,
            gpu=image.gpu,
            packages=list(release.highlights),
            release=release.version,
            digest=release.digest,
            size_mb=round(release.size_bytes / MB),
            download_mb=round(release.download_bytes / MB),
            scanned_at=release.scanned_at,
            waived=release.waived,
            released_at=release.created_at.astimezone(UTC),
            standin=release.standin,
            ready_on=list(ready.names),
        )


class VmView(BaseModel):
    """A VM that you may use."""

    name: str
    state: str
    reachable: bool
    cpus: int | None
    memory_gb: float | None
    dedicated: bool

    @classmethod
    def of(cls, vm: Vm) -> VmView:
        """The view of a VM; its engine's address is nobody's business."""
        return cls(
            name=vm.name,
            state=vm.state,
            reachable=vm.reachable,
            cpus=vm.cpus,
            memory_gb=vm.memory_gb,
            dedicated=vm.owner_id is not None,
        )


class FleetVmView(BaseModel):
    """A VM as administrators see it."""

    name: str
    engine: str
    address: str
    state: str
    pool: str
    owner: str | None
    reachable: bool
    error: str | None
    cpus: int | None
    memory_gb: float | None
    driver: str | None
    cuda: str | None
    gpu_access: str | None
    gpu_problem: str | None
    last_seen_at: datetime | None

    @classmethod
    def of(cls, vm: Vm, owner: str | None) -> FleetVmView:
        """The view of a VM."""
        values = {name: getattr(vm, name) for name in cls.model_fields if hasattr(vm, name)}
        return cls(**values, engine=vm.engine_url, owner=owner)


class AssignmentBody(BaseModel):
    """Whose a VM is: one user's, or a pool's."""

    model_config = ConfigDict(extra="forbid")

    owner: str | None = Field(None, description="a user's subject; left out: the pool's")
    pool: str = "shared"


class QuotaBody(BaseModel):
    """Limits; what is left out is not limited by this row."""

    model_config = ConfigDict(extra="forbid")

    gpus: Annotated[int | None, Field(ge=0, le=MOST)] = None
    memory_gb: Annotated[float | None, Field(ge=0, le=MOST, allow_inf_nan=False)] = None
    cpus: Annotated[float | None, Field(ge=0, le=MOST, allow_inf_nan=False)] = None
    deployments: Annotated[int | None, Field(ge=0, le=MOST)] = None


class UserView(AllowanceView):
    """A user, with what they may hold and hold."""

    subject: str
    name: str
    role: str
    group: str

    @classmethod
    def of(cls, user: User, allowance: Allowance) -> UserView:  # type: ignore[override]
        """The view of a user."""
        mine = AllowanceView.of(allowance)
        return cls(
            subject=user.subject,
            name=user.display_name,
            role=user.role,
            group=user.group,
            limits=mine.limits,
            held=mine.held,
        )


class UsageView(BaseModel):
    """Hours of one key."""

    key: dict[str, str]
    gpu_hours: float
    cpu_hours: float
    memory_gb_hours: float

    @classmethod
    def of(cls, by: Sequence[str], usage: Usage) -> UsageView:
        """The view of a row."""
        return cls(
            key=dict(zip(by, usage.key, strict=True)),
            gpu_hours=usage.gpu_hours,
            cpu_hours=usage.cpu_hours,
            memory_gb_hours=usage.memory_gb_hours,
        )


class GpuView(BaseModel):
    """A GPU or MIG instance of a VM that you may use.

    Memory in GB, utilisation in percent, temperature in °C.
    """

    vm: str
    uuid: str
    index: int
    model: str
    parent: str | None
    state: str
    hold: str = Field(description="free, yours, taken or out of order")
    deployment: str | None = Field(description="yours, or for administrators anybody's")
    memory_gb: float
    memory_used_gb: float | None
    utilisation: float | None
    temperature: float | None

    @classmethod
    def of(cls, tile: Tile) -> GpuView:
        """The view of a tile."""
        gpu = tile.gpu
        return cls(
            vm=tile.vm.name,
            uuid=gpu.uuid,
            index=gpu.index,
            model=gpu.model,
            parent=gpu.parent,
            state=gpu.state,
            hold=tile.hold,
            deployment=tile.deployment.id if tile.deployment else None,
            memory_gb=gpu.memory_gb,
            memory_used_gb=gpu.memory_used_gb,
            utilisation=gpu.utilisation,
            temperature=gpu.temperature,
        )


class OrderBody(BaseModel):
    """What you ask for."""

    model_config = ConfigDict(extra="forbid")

    image: Annotated[str, Field(max_length=200)]
    name: str | None = Field(
        None, description="left out: the image's name, made unique", max_length=20_000
    )
    gpus: int = 0
    gpu_model: str = Field("", description="left out: any model", max_length=200)
    memory_gb: float = 2.0
    cpus: float = 1.0
    ssh: bool = Field(False, description="open it by SSH with your card and the keys you added")


class ErrorView(BaseModel):
    """Why a deployment failed."""

    code: str
    message: str
    hint: str


class DeploymentView(BaseModel):
    """A deployment. Times are UTC."""

    id: str
    state: State
    name: str
    image: str
    release: str
    digest: str
    vm: str | None = Field(description="null while it waits for one")
    position: int | None = Field(description="place in line, from 1, while it waits")
    waits_for: str | None
    unreachable: bool
    urls: dict[str, str]
    gpus: int
    gpu_model: str
    gpu_uuids: list[str]
    memory_gb: float
    cpus: float
    ssh: str = Field(description="the command to connect with; empty without SSH")
    withdrawn: str = Field(description="why its release was withdrawn; empty when it was not")
    stop_reason: str | None
    error: ErrorView | None
    progress: list[LayerProgress]
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    stopped_at: datetime | None
    last_activity_at: datetime | None

    @classmethod
    def of(cls, d: Deployment, settings: Settings) -> DeploymentView:
        """The view of a deployment, without its token."""
        return cls(
            id=d.id,
            state=d.state,
            name=d.name,
            image=d.release.image,
            release=d.release.version,
            digest=d.release.digest,
            vm=d.vm.name if d.vm else None,
            position=d.position,
            waits_for=d.waits_for,
            unreachable=d.unreachable,
            urls=urls(d, settings),
            gpus=d.gpus,
            gpu_model=d.gpu_model,
            gpu_uuids=list(d.gpu_uuids),
            memory_gb=d.memory_gb,
            cpus=d.cpus,
            ssh=ssh_command(d),
            withdrawn=withdrawn(d),
            stop_reason=d.stop_reason,
            error=ErrorView(**vars(d.failure)) if d.failure else None,
            progress=list(d.progress),
            created_at=d.created_at,
            updated_at=d.updated_at,
            started_at=d.started_at,
            stopped_at=d.stopped_at,
            last_activity_at=d.last_activity_at,
        )


def ssh_command(deployment: Deployment) -> str:
    """How to connect by SSH; "" while it cannot be."""
    if not deployment.ssh or deployment.slot is None or deployment.vm is None:
        return ""
    port = ports.port_of(deployment.owner.range_index, deployment.slot, ports.Service.SSH)
    return f"ssh -p {port} {SSH_USER}@{deployment.vm.address}"


def withdrawn(deployment: Deployment) -> str:
    """Why its release was withdrawn; "" when it was not."""
    return deployment.release.reason if deployment.release.state is ReleaseState.WITHDRAWN else ""


def urls(deployment: Deployment, settings: Settings) -> dict[str, str]:
    """Where its services open in a browser; empty while it holds no ports."""
    if deployment.slot is None:
        return {}
    numbers = ports.slot_ports(deployment.owner.range_index, deployment.slot)
    return {
        service.name.lower(): f"https://{settings.public_host}:{port}/"
        for service, port in numbers.items()
    }
