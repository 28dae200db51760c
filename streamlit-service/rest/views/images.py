"""What REST v1 shows of releases, of who runs them, and of SSH keys."""

from __future__ import annotations

from datetime import datetime

from portal.core.models import Deployment, Release, User
from portal.users import ssh_keys
from pydantic import BaseModel, Field


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
        """The view of a release."""
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
    def of(cls, one: Deployment) -> RunView:
        """The view of a deployment."""
        vm = one.vm.name if one.vm else None
        return cls(
            deployment=one.id,
            name=one.name,
            state=one.state,
            subject=one.owner.subject,
            person=one.owner.display_name,
            vm=vm,
            started_at=one.started_at,
        )


class SshKeyView(BaseModel):
    """A key that opens your containers by SSH. The card's own cannot be removed."""

    name: str
    fingerprint: str
    card: bool

    @classmethod
    def all_of(cls, user: User) -> list[SshKeyView]:
        """The card's first."""
        card = (
            [
                cls(
                    name="Your card",
                    fingerprint=ssh_keys.fingerprint(user.certificate_key),
                    card=True,
                )
            ]
            if user.certificate_key
            else []
        )
        return [
            *card,
            *(cls(name=one.name, fingerprint=one.fingerprint, card=False) for one in user.ssh_keys),
        ]
