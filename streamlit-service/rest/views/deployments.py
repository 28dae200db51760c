"""What REST v1 shows and takes of deployments."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import wording
from portal.core.models import Deployment, LayerProgress, ReleaseState, State, Trouble
from portal.core.people import User
from portal.core.settings import Settings
from portal.deployments import Event, History
from portal.deployments.addresses import ssh_command, urls
from pydantic import BaseModel, Field

from rest.views.base import Body


class OrderBody(Body):
    """What you ask for."""

    image: Annotated[str, Field(max_length=200)]
    name: str | None = Field(
        None, description="left out: the image's name, made unique", max_length=20_000
    )
    # Negative or too many is refused further on, in words; this only bounds the digits.
    gpus: int = Field(0, ge=-(10**12), le=10**12)
    gpu_model: str = Field("", description="left out: any model", max_length=200)
    memory_gb: float = 2.0
    cpus: float = 1.0
    ssh: bool = Field(False, description="open it by SSH with your card and the keys you added")
    group: str = Field(
        "", description="which of your groups it counts for; left out: the main one", max_length=60
    )


class ErrorView(BaseModel):
    """Why a deployment failed."""

    code: str
    message: str
    hint: str


class TroubleView(BaseModel):
    """What keeps a request from being done; it is tried again and again."""

    code: str
    message: str
    hint: str
    since: datetime

    @classmethod
    def of(cls, trouble: Trouble | None) -> TroubleView | None:
        return cls(**vars(trouble)) if trouble else None


class DeploymentView(BaseModel):
    """A deployment. Times are UTC."""

    id: str
    state: State
    name: str
    image: str
    release: str
    digest: str
    group: str = Field(description="which of your groups it counts for; empty: none")
    vm: str | None = Field(description="null while it waits for one")
    position: int | None = Field(description="place in the queue, from 1, while it waits")
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
    stop_note: str = Field(
        description="what an administrator said of it, or why it does not start by itself"
    )
    error: ErrorView | None
    trouble: TroubleView | None
    progress: list[LayerProgress]
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    stopped_at: datetime | None
    last_activity_at: datetime | None

    @classmethod
    def of(cls, d: Deployment, settings: Settings) -> DeploymentView:
        return cls(
            id=d.id,
            state=d.state,
            name=d.name,
            image=d.release.image,
            release=d.release.version,
            digest=d.release.digest,
            group=d.group,
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
            ssh=ssh_command(d, settings),
            withdrawn=withdrawn(d),
            stop_reason=d.stop_reason,
            stop_note=d.stop_note,
            trouble=TroubleView.of(d.trouble),
            error=ErrorView(**vars(d.failure)) if d.failure else None,
            progress=list(d.progress),
            created_at=d.created_at,
            updated_at=d.updated_at,
            started_at=d.started_at,
            stopped_at=d.stopped_at,
            last_activity_at=d.last_activity_at,
        )


class PointView(BaseModel):
    """What it used in one minute or hour: CPUs on average, GB, percent."""

    at: datetime
    cpus: float
    memory_gb: float
    memory_peak_gb: float
    gpu_utilisation: float | None
    gpu_memory_gb: float | None
    home_gb: float | None


class EventView(BaseModel):
    """Something that happened to it."""

    at: datetime
    action: str = Field(description="the audit trail's")
    text: str = Field(description="the same in words")
    by: str = Field(description="you, the portal or an administrator")

    @classmethod
    def of(cls, event: Event, user: User) -> EventView:
        text, by = wording.past(event, user)
        return cls(at=event.at, action=event.action, text=text, by=by)


class HistoryView(BaseModel):
    """What a deployment used, beside what it may use."""

    span_s: int = Field(description="of each point: 60 or 3600")
    cpus: float
    memory_gb: float
    memory_peak_gb: float | None = Field(description="null when nothing was seen")
    points: list[PointView]

    @classmethod
    def of(cls, history: History) -> HistoryView:
        return cls(
            span_s=int(history.span.total_seconds()),
            cpus=history.deployment.cpus,
            memory_gb=history.deployment.memory_gb,
            memory_peak_gb=history.memory_peak_gb,
            points=[PointView(**vars(point)) for point in history.points],
        )


def withdrawn(deployment: Deployment) -> str:
    """Why its release was withdrawn; "" when it was not."""
    return deployment.release.reason if deployment.release.state is ReleaseState.WITHDRAWN else ""
