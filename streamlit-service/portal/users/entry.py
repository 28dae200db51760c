"""May somebody come in at all? Asked at every page, request, port and SSH connection."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol

import structlog

from portal import db
from portal.context import Portal
from portal.core.errors import DatabaseTrouble, Forbidden, NotAuthenticated
from portal.core.people import Account, Certificate, User

SEEN_EVERY = timedelta(hours=1)
log = structlog.get_logger()


class Standing(Protocol):
    """What decides: of a User, or of what the gateway reads at each request."""

    @property
    def retired_at(self) -> datetime | None:
        """When they left."""

    @property
    def disabled_at(self) -> datetime | None:
        """When somebody kept them out."""

    @property
    def last_seen_at(self) -> datetime | None:
        """When they were there last."""

    @property
    def ends_at(self) -> datetime | None:
        """When it ends, of a service account."""


def account(portal: Portal, standing: Standing) -> Account:
    """The state of an account."""
    if standing.retired_at:
        return Account.RETIRED
    if standing.disabled_at:
        return Account.DISABLED
    if standing.ends_at and standing.ends_at <= portal.now():
        return Account.ENDED
    days, seen = portal.settings.dormant_days, standing.last_seen_at
    if days and seen and portal.now() - seen > timedelta(days=days):
        return Account.DORMANT
    return Account.ACTIVE


def check(portal: Portal, standing: Standing) -> None:
    """Raise Forbidden unless the account is active."""
    state, contact = account(portal, standing), portal.settings.help_contact
    if state is Account.RETIRED:
        raise Forbidden(
            "retired",
            "Your account was retired.",
            f"If you still need access, ask {contact} to restore it.",
        )
    if state is Account.DISABLED:
        raise Forbidden(
            "disabled",
            "Your account is disabled. Your files are kept.",
            f"Ask {contact} why, and to enable it.",
        )
    if state is Account.ENDED:
        raise Forbidden(
            "account_ended",
            "This service account has ended.",
            f"Ask {contact} to prolong it: admin.py service set.",
        )
    if state is Account.DORMANT:
        raise Forbidden(
            "dormant",
            f"Your account is locked, since it was not used for {portal.settings.dormant_days}"
            " days. Your files are kept.",
            f"Ask {contact} to enable it.",
        )


def check_session(portal: Portal, user: User, began: datetime) -> None:
    """Raise NotAuthenticated where what was open since `began` was ended: by them, or for them."""
    ended = user.sessions_ended_at
    if ended and began < ended <= portal.now():  # a clock may have been wrong
        raise NotAuthenticated(
            "session_ended",
            "Your session has ended.",
            "You signed out, or an administrator ended it. Your containers keep running.",
        )


def last_visit(portal: Portal, subject: str) -> tuple[datetime, str] | None:
    """When somebody was last here, to the hour, and from where ("": not known); None for never."""
    with portal.database.reading() as tx:
        user = db.users.by_subject(tx, subject)
        if user is None or user.last_seen_at is None:
            return None
        cards = db.certificates.of_user(tx, user.id)
    latest = max(cards, key=lambda card: card.last_seen_at or card.first_seen_at, default=None)
    return user.last_seen_at, latest.last_address if latest else ""


def note_seen(portal: Portal, user: User, card: Certificate, address: str) -> None:
    """Note that somebody came in, with what and from where; to the hour, and never in the way."""
    now = portal.now()
    if all(_is_fresh(seen, now) for seen in (user.last_seen_at, card.last_seen_at)):
        return
    try:
        with portal.database.transaction() as tx:
            db.users.update(tx, user.id, last_seen_at=now)
            db.certificates.seen(tx, card.fingerprint, now, address)
    except DatabaseTrouble as trouble:  # the next request tries again
        log.warning("sign_in_not_noted", user=user.subject, code=trouble.code)


def _is_fresh(seen: datetime | None, now: datetime) -> bool:
    return seen is not None and timedelta() <= now - seen < SEEN_EVERY
