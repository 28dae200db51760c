"""Events of access: who came in, with which certificate, from where; one for each session.

A session is what somebody does with one card from one address at one place (pages and API, or one
port of one container), without a pause of PAUSE and until they sign out. Never in the way: what
cannot be written is logged, and tried again at the next request.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import structlog

from portal import db
from portal.context import Portal
from portal.core.errors import DatabaseTrouble
from portal.core.people import Identity, Origin, User
from portal.db.visits import Seen, Visit

PAUSE = timedelta(minutes=30)
RENEW_EVERY = timedelta(minutes=5)
SKEW = timedelta(minutes=1)
"""Clocks of two machines may differ by less."""
KEPT = timedelta(days=1)
PORTAL = ""
SIGNED_IN, PORT_OPENED = "access.signed_in", "access.port_opened"
log = structlog.get_logger()


def note_portal(portal: Portal, user: User, identity: Identity, origin: Origin) -> None:
    """Somebody uses pages or API."""
    visit = Visit(user.id, identity.fingerprint, origin.address, PORTAL)
    _note(portal, visit, user, SIGNED_IN, f"user:{user.subject}", identity, origin)


def note_port(
    portal: Portal,
    user_id: int,
    deployment_id: str,
    identity: Identity,
    origin: Origin,
    port: int,
    service: str,
) -> None:
    """Somebody uses a port of a container of theirs."""
    with portal.database.reading() as tx:
        user = db.users.by_id(tx, user_id)
    if user is None:
        return
    visit = Visit(user_id, identity.fingerprint, origin.address, f"{deployment_id}:{port}")
    opened = {"port": port, "service": service}
    about = f"deployment:{deployment_id}"
    _note(portal, visit, user, PORT_OPENED, about, identity, origin, **opened)


def _note(
    portal: Portal,
    visit: Visit,
    user: User,
    action: str,
    subject: str,
    identity: Identity,
    origin: Origin,
    **details: Any,
) -> None:
    """Renew a session, or begin it with its event. What came through no gateway is none."""
    if not origin.address:
        return
    now = portal.now()
    with portal.database.reading() as tx:
        if _is_noted(db.visits.get(tx, visit), user, now):
            return
    try:
        with portal.database.transaction() as tx:
            db.serialize_writers(tx)
            now = portal.now()  # whoever was faster came before
            known = db.visits.get(tx, visit)
            if known and _goes_on(known, user, now):
                db.visits.seen(tx, visit, now)
                return
            db.visits.begin(tx, visit, now)
            said = {**details, **of_certificate(identity), **vars(origin)}
            db.audit.append(tx, now, user.subject, action, subject, **said)
    except DatabaseTrouble as trouble:
        log.warning("access_not_noted", user=user.subject, action=action, code=trouble.code)


def of_certificate(identity: Identity) -> dict[str, str]:
    """What an event says of a certificate."""
    return {
        "certificate": identity.fingerprint,
        "serial": identity.serial,
        "issuer": identity.issuer,
    }


def forget_old(portal: Portal) -> None:
    """Those that ended a day ago: they are in the audit trail."""
    with portal.database.transaction() as tx:
        db.visits.remove_before(tx, portal.now() - KEPT)


def _is_noted(known: Seen | None, user: User, now: datetime) -> bool:
    fresh = known is not None and -SKEW <= now - known.seen_at < RENEW_EVERY
    return fresh and known is not None and _goes_on(known, user, now)


def _goes_on(known: Seen, user: User, now: datetime) -> bool:
    """A clock may have gone back: then a session begins anew rather than lasting for ever."""
    ended = user.sessions_ended_at
    return -SKEW <= now - known.seen_at < PAUSE and not (ended and ended >= known.began_at)
