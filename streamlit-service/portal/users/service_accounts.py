"""Service accounts: programs with certificates of their own, for the API."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from portal import db
from portal.context import Portal
from portal.core import subjects
from portal.core.errors import Forbidden, Invalid
from portal.core.people import Actor, Role, Scope, User
from portal.users import permissions

LONGEST = timedelta(days=366)


def put(
    portal: Portal,
    actor: Actor,
    name: str,
    scopes: Collection[Scope],
    ends_at: datetime,
    *,
    root: str = "",
) -> User:
    """Make a service account, or change what it may do and until when.

    Its certificates carry a policy of PORTAL_SERVICE_POLICIES and have `name` as common name; they
    are of the root that is named (RFC 4514), else of whichever comes first. Invalid for a name that
    none can have, for no scope, and for an end that is past or more than a year away.
    """
    who, now = permissions.administrator(actor), portal.now()
    if not subjects.SERVICE.fullmatch(name):
        raise Invalid(
            "bad_name",
            f"{name[:60]!r} is no name for a service account.",
            "Use lowercase letters, digits, dots and hyphens: nightly-training, for example.",
        )
    if not scopes:
        raise Invalid("no_scope", "A service account needs a scope.", "read, deploy or both.")
    if not now < ends_at <= now + LONGEST:
        raise Invalid(
            "bad_end", "The end must be in the future, within a year.", "Prolong it in time."
        )
    subject, kept = f"{subjects.OF_SERVICE}{name}", sorted(set(scopes))
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        user = db.users.by_subject(tx, subject)
        new = user is None
        user = user or db.users.insert(tx, subject, name, Role.USER, now)
        details: dict[str, Any] = {"scopes": kept, "ends_at": ends_at.isoformat()}
        if not new:
            details = db.audit.changed(_said(user), details)
        if root:
            db.users.set_root(tx, subject, root)
            details["root"] = root
        db.users.update(tx, user.id, scopes=",".join(kept), ends_at=ends_at, last_seen_at=now)
        action = "service.created" if new else "service.changed"
        db.audit.append(tx, now, who, action, f"user:{subject}", **details)
        after = db.users.by_subject(tx, subject)
    assert after is not None
    return after


def _said(user: User) -> dict[str, Any]:
    """What events say of a service account."""
    ends_at = user.ends_at.isoformat() if user.ends_at else None
    return {"scopes": sorted(user.scopes), "ends_at": ends_at}


def everyone(portal: Portal, actor: Actor) -> list[User]:
    """Every service account, the oldest first."""
    permissions.reader(actor)
    with portal.database.reading() as tx:
        return [user for user in db.users.all_users(tx) if user.is_service]


def check_scope(user: User, scope: Scope) -> None:
    """Raise Forbidden where a service account does what it was not made for; people may."""
    if user.is_service and scope not in user.scopes:
        raise Forbidden(
            "not_in_scope",
            f"This service account may not do this: its scopes are {', '.join(user.scopes)}.",
            "Ask an administrator for another scope: admin.py service set.",
        )


def check_person(user: User) -> None:
    """Raise Forbidden for a service account, where only people have business."""
    if user.is_service:
        raise Forbidden(
            "service_account",
            "Pages are for people: this is a service account's certificate.",
            "Service accounts use /api/v1, and the containers that they deploy.",
        )
