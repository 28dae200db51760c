"""The audit trail of a period as JSON Lines, to be verified where there is no portal.

The first line says what it is, and the hash that the chain had before; then an event a line, with
its own and the hash before it; the last line says how many there were, with the hash of the first
line. scripts/verify-audit.py reads it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime

from portal import db
from portal.context import Portal
from portal.core.people import Actor
from portal.db.audit import Link
from portal.users import permissions

FORMAT = "container-portal-audit-1"
AT_ONCE = 1000


def export(
    portal: Portal, actor: Actor, since: datetime | None = None, until: datetime | None = None
) -> Iterator[str]:
    """Lines, each with its end. That it was taken is an event itself, before the first line."""
    who = permissions.reader(actor)
    with portal.database.transaction() as tx:
        first, final = db.audit.span(tx, since, until)
        before = db.audit.links(tx, first - 1, first - 1)
        details = {"first": first, "last": final}
        db.audit.append(tx, portal.now(), who, "audit.exported", "audit:trail", **details)
    head: dict[str, object] = {
        "format": FORMAT,
        "portal": portal.settings.public_origin,
        "exported_at": _time(portal.now()),
        "exported_by": who,
        "since": _time(since) if since else None,
        "until": _time(until) if until else None,
        "first": first,
        "last": final,
        "previous_hash": before[0].hash if before else "",
    }
    return _lines(portal, head, first, final)


def _lines(portal: Portal, head: dict[str, object], first: int, final: int) -> Iterator[str]:
    first_line = _line(head)
    yield first_line
    count, hash_ = 0, head["previous_hash"]
    for start in range(first, final + 1, AT_ONCE):
        with portal.database.reading() as tx:  # not held while somebody reads the lines
            links = db.audit.links(tx, start, min(start + AT_ONCE - 1, final))
        for link in links:
            count, hash_ = count + 1, link.hash
            yield _line(_of(link))
    begins = hashlib.sha256(first_line.encode()).hexdigest()
    yield _line({"events": count, "hash": hash_, "head": begins})


def _of(link: Link) -> dict[str, object]:
    return {**vars(link), "at": _time(link.at)}


def _line(values: dict[str, object]) -> str:
    return json.dumps(values, separators=(",", ":")) + "\n"


def _time(at: datetime) -> str:
    """As the chain's hashes have it."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")
