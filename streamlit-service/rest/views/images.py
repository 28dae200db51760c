"""What REST v1 shows and takes of images and releases."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from portal.core.models import Deployment, Release
from portal.images import OfferedImage
from pydantic import BaseModel, Field

from rest.views.base import Body

MB = 10**6


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
    def of(cls, offered: OfferedImage) -> ImageView:
        image, release, ready = offered.image, offered.release, offered.ready
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


class ReleaseView(BaseModel):
    """A release. Sizes in bytes."""

    id: int
    image: str
    version: str
    state: str
    reference: str
    digest: str
    size_bytes: int
    download_bytes: int = Field(description="compressed; 0 when not known")
    standin: bool = Field(description="built on a stand-in base; never in production")
    created_at: datetime
    published_by: str
    approved_by: str
    approved_at: datetime | None
    highlights: tuple[str, ...]
    scanned_at: datetime | None
    refused_for: str = Field(description="what the policy refuses in it; empty when it passed")
    problem: str
    waived: int = Field(description="findings that only a waiver lets pass")
    reason: str = Field(description="why it was deprecated or withdrawn")

    @classmethod
    def of(cls, release: Release) -> ReleaseView:
        return cls(**vars(release))


class RunView(BaseModel):
    """A container of a release, for curators."""

    deployment: str
    name: str
    state: str
    subject: str
    person: str
    vm: str | None
    started_at: datetime | None

    @classmethod
    def of(cls, deployment: Deployment) -> RunView:
        vm = deployment.vm.name if deployment.vm else None
        return cls(
            deployment=deployment.id,
            name=deployment.name,
            state=deployment.state,
            subject=deployment.owner.subject,
            person=deployment.owner.display_name,
            vm=vm,
            started_at=deployment.started_at,
        )


class ReasonBody(Body):
    """Why; the owners of containers read it."""

    reason: Annotated[str, Field(max_length=500)] = ""
