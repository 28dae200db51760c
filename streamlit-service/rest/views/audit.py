"""Audit events as the API shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from portal.audit import AuditEvent, Verdict
from pydantic import BaseModel, Field


class AuditEventView(BaseModel):
    """Who did what to what, when."""

    seq: int
    at: datetime
    actor: str
    action: str
    subject: str
    details: dict[str, Any]

    @classmethod
    def of(cls, event: AuditEvent) -> AuditEventView:
        """As recorded."""
        return cls(**vars(event))


class VerdictView(BaseModel):
    """Whether the chain is whole; else the first number that does not fit, and why."""

    events: int
    whole: bool
    broken_at: int | None
    problem: str
    signed: int = Field(description="up to which number a signed checkpoint vouches; 0: none")
    key: str = Field(description="the beginning of the SHA-256 of the key that signed it")

    @classmethod
    def of(cls, verdict: Verdict) -> VerdictView:
        """As found."""
        return cls(whole=verdict.broken_at is None, **vars(verdict))
