"""What REST v1 shows and takes of service accounts."""

from __future__ import annotations

from datetime import datetime

from portal import users
from portal.context import Portal
from portal.core.people import Account, Scope, User
from pydantic import BaseModel, Field

from rest.views.base import Body, Moment


class ServiceBody(Body):
    """What a program may do, and until when."""

    scopes: list[Scope] = Field(max_length=len(Scope))
    ends_at: Moment = Field(description="within a year")


class ServiceView(BaseModel):
    """A program's account; to end it at once: POST /users/SUBJECT/disable."""

    name: str
    subject: str
    scopes: list[Scope]
    ends_at: datetime | None
    account: Account
    last_seen_at: datetime | None

    @classmethod
    def of(cls, portal: Portal, user: User) -> ServiceView:
        return cls(
            name=user.display_name,
            subject=user.subject,
            scopes=list(user.scopes),
            ends_at=user.ends_at,
            account=users.account(portal, user),
            last_seen_at=user.last_seen_at,
        )
