"""Findings of health checks: pure values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Status:
    """`state`: ok, warning or critical; `section` of TROUBLESHOOTING.md; `next_step`: a command."""

    state: str
    check: str
    subject: str
    message: str
    next_step: str = ""
    section: str = ""


@dataclass(frozen=True)
class Finding(Status):
    """As the worker found it last, with since when it has been so."""

    since: datetime | None = None
