"""What REST v1 shows and takes of announcements."""

from __future__ import annotations

from datetime import datetime

from portal.announcements import Announcement, Level
from pydantic import BaseModel, Field

from rest.views.base import Body, Moment


class AnnouncementView(BaseModel):
    """Times are UTC."""

    id: int
    text: str
    level: Level
    audience: str
    begins_at: datetime
    ends_at: datetime

    @classmethod
    def of(cls, told: Announcement) -> AnnouncementView:
        return cls(**{name: value for name, value in vars(told).items() if name != "author"})


class AnnouncementBody(Body):
    """Without times from now for a week."""

    text: str = Field(max_length=2000)
    level: Level = Level.INFO
    audience: str = Field(
        "everybody",
        max_length=100,
        description="everybody, role:ROLE, group:NAME, or vm:NAME (who has containers there)",
    )
    begins_at: Moment | None = None
    ends_at: Moment | None = None
