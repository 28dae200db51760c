"""Health checks, looked at now and then by the worker, for people without a shell."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from portal import db
from portal.context import Portal
from portal.core.health import Finding, Status
from portal.core.people import Actor
from portal.users import permissions

LATE = timedelta(minutes=3)
RANK = {"critical": 0, "warning": 1, "ok": 2}
Look = Callable[[Portal], Iterable[Status]]


@dataclass(frozen=True)
class Health:
    """The worst first; `at`: when the worker looked last, None for never."""

    findings: list[Finding]
    at: datetime | None

    @property
    def wrong(self) -> list[Finding]:
        """What is not well."""
        return [each for each in self.findings if each.state != "ok"]


def look(portal: Portal, checks: Look) -> None:
    """Look now, and write down what was found."""
    found = list(checks(portal))
    with portal.database.transaction() as tx:
        db.findings.replace(tx, found, portal.now())


def last(portal: Portal, actor: Actor) -> Health:
    """What was found last, for administrators and auditors; that nobody looks is found here."""
    permissions.reader(actor)
    now = portal.now()
    with portal.database.reading() as tx:
        found, at = db.findings.last(tx)
    if at is None or not -LATE < now - at < LATE:
        silent = Finding(
            "critical",
            "worker",
            "worker",
            "The worker has not looked for some minutes: nothing starts or stops, and what is"
            " below may be out of date.",
            "docker compose ps worker; docker compose logs --tail 50 worker",
            "worker-silent",
            at or now,
        )
        found = [silent, *found]
    found.sort(key=lambda each: (RANK[each.state], each.since or now, each.check, each.subject))
    return Health(found, at)
