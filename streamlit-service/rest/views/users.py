"""What REST v1 shows and takes of users, quotas and usage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

from portal.context import Portal
from portal.core import ports
from portal.core.errors import Forbidden
from portal.core.people import Account, Certificate, Identity, Session, User
from portal.scheduling.quotas import MAX_LIMIT, Allowance
from portal.users import consent, ssh_keys
from portal.users.usage import Usage
from pydantic import BaseModel, Field

from rest.views.base import Body


class AllowanceView(BaseModel):
    """What may be held in all, and what is held or waited for now."""

    limits: dict[str, int | float]
    held: dict[str, int | float]

    @classmethod
    def of(cls, allowance: Allowance) -> AllowanceView:
        return cls(limits=vars(allowance.limits), held=vars(allowance.held))


def _ports(user: User) -> tuple[int, int] | None:
    if user.range_index is None:
        return None
    span = ports.range_of(user.range_index)
    return span[0], span[-1]


class Me(BaseModel):
    """Who the certificate says you are, and what you may ask for."""

    subject: str
    name: str
    role: str
    group: str = Field(description="the main one: your orders count for it, or one they name")
    groups: list[str]
    leads: list[str] = Field(description="the groups that you lead")
    ports: tuple[int, int] | None = Field(
        description="first and last port of your range, which you get with your first container"
    )
    limits: dict[str, int | float]
    held: dict[str, int | float]
    group_quota: AllowanceView | None = Field(
        description="what all members of your main group share"
    )
    group_quotas: dict[str, AllowanceView] = Field(
        description="what the members of each of your groups share"
    )

    @classmethod
    def of(cls, user: User, own: Allowance, groups: Mapping[str, Allowance]) -> Me:
        mine = AllowanceView.of(own)
        shared = {name: AllowanceView.of(allowance) for name, allowance in groups.items()}
        return cls(
            subject=user.subject,
            name=user.display_name,
            role=user.role,
            group=user.group,
            groups=list(user.groups),
            leads=list(user.leads),
            ports=_ports(user),
            limits=mine.limits,
            held=mine.held,
            group_quota=shared.get(user.group),
            group_quotas=shared,
        )


class UserView(AllowanceView):
    """A user, with what they may hold and hold."""

    subject: str
    name: str
    role: str
    group: str = Field(description="the main one")
    groups: list[str]
    leads: list[str]
    ports: tuple[int, int] | None
    retired: str | None = Field(description="why, of somebody who is retired")
    account: Account
    reason: str | None = Field(description="why, of somebody who is disabled or retired")
    last_seen_at: datetime | None

    @classmethod
    def of(cls, account: Account, user: User, allowance: Allowance) -> UserView:  # type: ignore[override]
        mine = AllowanceView.of(allowance)
        return cls(
            subject=user.subject,
            name=user.display_name,
            role=user.role,
            group=user.group,
            groups=list(user.groups),
            leads=list(user.leads),
            ports=_ports(user),
            retired=user.retired_reason if user.retired_at else None,
            account=account,
            reason=user.retired_reason or user.disabled_reason or None,
            last_seen_at=user.last_seen_at,
            limits=mine.limits,
            held=mine.held,
        )


class SessionView(BaseModel):
    """A page (one tab) or an SSH connection that is open."""

    way: str = Field(description="page or ssh")
    address: str
    began_at: datetime

    @classmethod
    def of(cls, session: Session) -> SessionView:
        return cls(way=session.way, address=session.address, began_at=session.began_at)


class QuotaBody(Body):
    """Limits; what is left out is not limited by this row."""

    gpus: Annotated[int | None, Field(ge=0, le=MAX_LIMIT)] = None
    memory_gb: Annotated[float | None, Field(ge=0, le=MAX_LIMIT, allow_inf_nan=False)] = None
    cpus: Annotated[float | None, Field(ge=0, le=MAX_LIMIT, allow_inf_nan=False)] = None
    deployments: Annotated[int | None, Field(ge=0, le=MAX_LIMIT)] = None


class UsageView(BaseModel):
    """Hours of one key."""

    key: dict[str, str]
    gpu_hours: float
    cpu_hours: float
    memory_gb_hours: float

    @classmethod
    def of(cls, by: Sequence[str], usage: Usage) -> UsageView:
        return cls(
            key=dict(zip(by, usage.key, strict=True)),
            gpu_hours=usage.gpu_hours,
            cpu_hours=usage.cpu_hours,
            memory_gb_hours=usage.memory_gb_hours,
        )


class SshKeyView(BaseModel):
    """A key that opens your containers by SSH. The card's own cannot be removed."""

    name: str
    fingerprint: str
    card: bool

    @classmethod
    def all_of(cls, user: User, cards: Sequence[Certificate]) -> list[SshKeyView]:
        """The cards' first."""
        of_cards = {ssh_keys.fingerprint(card.ssh_key): card for card in reversed(cards)}
        return [
            *(cls(name="Your card", fingerprint=each, card=True) for each in reversed(of_cards)),
            *(cls(name=key.name, fingerprint=key.fingerprint, card=False) for key in user.ssh_keys),
        ]


class KeyBody(Body):
    """A public key, as in a .pub file."""

    name: Annotated[str, Field(max_length=60)] = ""
    key: Annotated[str, Field(max_length=4000)]


class ConsentView(BaseModel):
    """The notice; empty where nothing is to be accepted."""

    text: str
    hash: str = Field(description="SHA-256 of the text's file")
    accepted: bool

    @classmethod
    def of(cls, portal: Portal, user: User, identity: Identity) -> ConsentView:
        wanted = consent.notice(portal)
        if wanted is None:
            return cls(text="", hash="", accepted=True)
        try:
            consent.check(portal, user, identity)
        except Forbidden:
            return cls(text=wanted.text, hash=wanted.hash, accepted=False)
        return cls(text=wanted.text, hash=wanted.hash, accepted=True)


class AcceptBody(Body):
    """What is accepted."""

    hash: str = Field(max_length=64)
