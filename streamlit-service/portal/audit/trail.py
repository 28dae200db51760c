"""Reading the audit trail."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

from portal import db
from portal.audit import signing
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
    """Walk the whole chain, and its signed checkpoints: ten seconds or so for a million events."""
    permissions.reader(actor)
    with portal.database.reading() as tx:
        verdict = db.audit.verify(tx)
        made = db.audit.of_action(tx, signing.MADE)
    if verdict.broken_at is not None:
        return verdict
    for link in made:
        if not signing.vouches(link):
            problem = f"checkpoint {link.seq} is not signed by the key that it names"
            return replace(verdict, broken_at=link.seq, problem=problem)
    if not made:
        return verdict
    key = json.loads(made[-1].details)["key"]
    name = hashlib.sha256(key.encode()).hexdigest()[:16]
    return replace(verdict, signed=made[-1].seq - 1, key=name)


def people(portal: Portal, actor: Actor) -> dict[str, str]:
    """What everybody is called whom events may name, by subject."""
    permissions.reader(actor)
    with portal.database.reading() as tx:
        return db.users.display_names(tx)
