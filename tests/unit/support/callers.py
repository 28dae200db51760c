"""Whoever calls the REST API in unit tests, and what stands in for its neighbours."""

from __future__ import annotations

from typing import Any

from portal.core.errors import EngineError, NotAuthenticated
from support.samples import JANE, JOHN, identity

RAY = identity("3456789012", "Alex M Ray")
MEI = identity("4567890123", "Mei T Lin")
EVE = identity("5678901234", "Eve D Out")
LEA = identity("6789012345", "Lea D Er")
ADA = identity("8901234567", "Ada U Ditor")
PEOPLE = {"jane": JANE, "john": JOHN, "ray": RAY, "mei": MEI, "eve": EVE, "lea": LEA}
PEOPLE["ada"] = ADA


class Door:
    """Stands in for the certificate check: the header names the person."""

    def authenticate(self, headers: Any, *, patient: bool = True) -> Any:
        person = PEOPLE.get(headers["X-Person"])
        if person is None:
            raise NotAuthenticated("no_certificate", "No certificate was presented.", "")
        return person


class SilentWorker:
    """Gives no log."""

    def logs(self, deployment_id: str, *, tail: int, since: str = "") -> bytes:
        raise EngineError("worker_silent", "The log cannot be read now.", "Try again in a minute.")
