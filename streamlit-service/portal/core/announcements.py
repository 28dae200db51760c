"""What administrators tell people on every page: pure values."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime


class Level(enum.StrEnum):
    """How it looks; who reads an urgent one cannot put it away."""

    INFO = "info"
    WARNING = "warning"
    URGENT = "urgent"


EVERYBODY = "everybody"
OF_GROUP, OF_VM, OF_ROLE = "group:", "vm:", "role:"


@dataclass(frozen=True)
class Announcement:
    """`audience`: everybody, role:ROLE, group:NAME, or vm:NAME (who has containers there)."""

    id: int
    text: str
    level: Level
    audience: str
    begins_at: datetime
    ends_at: datetime
    author: str
    """The subject of who made it."""
