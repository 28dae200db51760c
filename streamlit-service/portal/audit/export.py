"""The audit trail of a period as JSON Lines, to be verified where there is no portal.

The first line says what it is, and the hash that the chain had before; then an event a line, with
its own and the hash before it; then documents (evidence.py); the last line says how many events
there were, with the hash of all lines before it, signed. scripts/verify-audit.py reads it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime

import structlog

from portal import db
from portal.audit import evidence
from portal.context import Portal
from portal.core.errors import PortalError
from portal.core.people import Actor
from portal.core.signatures import EXPORT
from portal.db.audit import Link
from portal.users import permissions

AT_ONCE = 1000
Period = tuple[datetime | None, datetime | None]
log = structlog.get_logger()


def export(
    portal: Portal, actor: Actor, since: datetime | None = None, until: datetime | None = None
) -> Iterator[str]:
    """Lines, each with its end. That it was taken is an event itself, before the first line."""
    who = permissions.reader(actor)
    with portal.database.transaction() as tx:
        first, final = db.audit.span(tx, since, until)
        before = db.audit.hash_at(tx, first - 1)
        details = {"first": first, "last": final}
        db.audit.append(tx, portal.now(), who, "audit.exported", "audit:trail", **details)
    head: dict[str, object] = {
        "format": EXPORT,
        "portal": portal.settings.public_origin,
        "exported_at": _time(portal.now()),
        "exported_by": who,
        "since": _time(since) if since else None,
        "until": _time(until) if until else None,
        "first": first,
        "last": final,
        "previous_hash": before,
    }
    return _lines(portal, head, first, final, (since, until))


def _lines(
    portal: Portal, head: dict[str, object], first: int, final: int, period: Period
) -> Iterator[str]:
    body, count, hash_ = hashlib.sha256(), 0, str(head["previous_hash"])
    for line in _body(portal, head, first, final, period):
        if "hash" in line:
            count, hash_ = count + 1, str(line["hash"])
        text = _line(line)
        body.update(text.encode())
        yield text
    digest = body.hexdigest()
    end = {"events": count, "hash": hash_, "body": digest}
    yield _line({**end, **_signature(portal, digest, final if count else 0, hash_)})


def _signature(portal: Portal, body: str, last: int, hash_: str) -> dict[str, str]:
    """The worker's; empty while it is away, or has no key: hashes verify as before."""
    try:
        signed = portal.sign_export(body, last, hash_)
    except PortalError as error:
        log.warning("export_not_signed", code=error.code, cause=error.cause)
        signed = None
    return vars(signed) if signed else {"signature": "", "key": ""}


def _body(
    portal: Portal, head: dict[str, object], first: int, final: int, period: Period
) -> Iterator[dict[str, object]]:
    yield head
    for start in range(first, final + 1, AT_ONCE):
        with portal.database.reading() as tx:  # not held while somebody reads the lines
            links = db.audit.links(tx, start, min(start + AT_ONCE - 1, final))
        yield from map(_of, links)
    for name, content in evidence.documents(portal, *period):
        yield {"document": name, "content": content}


def _of(link: Link) -> dict[str, object]:
    return {**vars(link), "at": _time(link.at)}


def _line(values: dict[str, object]) -> str:
    return json.dumps(values, separators=(",", ":"), default=str) + "\n"


def _time(at: datetime) -> str:
    """As the chain's hashes have it."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")
