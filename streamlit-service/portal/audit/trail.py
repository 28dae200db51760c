"""Reading the audit trail."""

from __future__ import annotations

from portal import db
from portal.context import Portal
from portal.core.people import Actor
from portal.db.audit import AuditEvent, Verdict, Wanted
from portal.users import permissions

MOST = 200
"""Events of one answer."""
KINDS = (
    "deployment",
    "user",
    "group",
    "service",
    "quota",
    "release",
    "vm",
    "gpu",
    "ssh",
    "database",
    "audit",
    "access",
    "announcement",
)
"""What events are about: the noun that each action begins with."""


def read(
    portal: Portal, actor: Actor, wanted: Wanted, before: int | None = None, most: int = MOST
) -> list[AuditEvent]:
    """The newest of the wanted events with lower numbers than `before`, MOST at most."""
    permissions.reader(actor)
    with portal.database.reading() as tx:
        return db.audit.search(tx, wanted, before, min(most, MOST))


def verify(portal: Portal, actor: Actor) -> Verdict:
    """Walk the whole chain: about twenty seconds for a million events."""
    permissions.reader(actor)
    with portal.database.reading() as tx:
        return db.audit.verify(tx)


def people(portal: Portal, actor: Actor) -> dict[str, str]:
    """What everybody is called whom events may name, by subject."""
    permissions.reader(actor)
    with portal.database.reading() as tx:
        return db.users.display_names(tx)
