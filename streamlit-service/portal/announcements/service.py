"""Announce something, end it, and what somebody is to read now."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from portal import db, users
from portal.context import Portal
from portal.core.announcements import (
    EVERYBODY,
    OF_GROUP,
    OF_ROLE,
    OF_VM,
    Announcement,
    Level,
)
from portal.core.errors import Invalid, NotFound
from portal.core.people import Actor, Role, User
from portal.db import Tx
from portal.users import permissions

MAX_LENGTH = 500
USUALLY = timedelta(days=7)
LONGEST = timedelta(days=366)


def add(
    portal: Portal,
    actor: Actor,
    text: str,
    level: Level = Level.INFO,
    audience: str = EVERYBODY,
    begins_at: datetime | None = None,
    ends_at: datetime | None = None,
) -> Announcement:
    """Tell people something, by default from now for a week.

    Invalid for no text, a period that is none, or an audience that does not exist.
    """
    who, now, words = permissions.administrator(actor), portal.now(), " ".join(text.split())
    begins_at = min(begins_at or now, now + LONGEST + USUALLY)  # what is later ends too late
    ends_at = ends_at or begins_at + USUALLY
    if not 0 < len(words) <= MAX_LENGTH or not words.isprintable():
        raise Invalid(
            "bad_announcement",
            f"An announcement is 1 to {MAX_LENGTH} characters of plain text.",
            "Say what happens, when, and what to do.",
        )
    if not (now < ends_at <= now + LONGEST and begins_at < ends_at):
        raise Invalid(
            "bad_period",
            "An announcement ends after it begins, within a year from now.",
            "Choose another period.",
        )
    told = Announcement(0, words, level, audience, begins_at, ends_at, who)
    with portal.database.transaction() as tx:
        _check_audience(tx, audience)
        told = replace(told, id=db.announcements.insert(tx, told))
        _audit(tx, now, who, "announced", told)
    return told


def end(portal: Portal, actor: Actor, announcement_id: int) -> None:
    """Show it no longer. NotFound where there is none, or it is over."""
    who, now = permissions.administrator(actor), portal.now()
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        told = db.announcements.by_id(tx, announcement_id)
        if told is None or told.ends_at <= now:
            raise NotFound(
                "no_such_announcement",
                f"There is no announcement {announcement_id}.",
                "Those that are shown or planned: admin.py announcement list",
            )
        db.announcements.end(tx, announcement_id, now)
        _audit(tx, now, who, "ended", told)


def planned(portal: Portal, actor: Actor) -> list[Announcement]:
    """All that are shown, or will be, for administrators and auditors; the earliest first."""
    permissions.reader(actor)
    with portal.database.reading() as tx:
        return db.announcements.not_over(tx, portal.now())


def shown_to(portal: Portal, user: User) -> list[Announcement]:
    """What somebody is to read now, the most urgent first."""
    now = portal.now()
    with portal.database.reading() as tx:
        told = [each for each in db.announcements.not_over(tx, now) if each.begins_at <= now]
        if not told:
            return []
        vms = set[str]()
        if any(each.audience.startswith(OF_VM) for each in told):
            theirs = db.deployments.of_user(tx, user.id)
            vms = {each.vm.name for each in theirs if each.vm is not None}
    mine = {EVERYBODY, f"{OF_ROLE}{user.role}"}
    mine |= {f"{OF_GROUP}{group}" for group in user.groups} | {f"{OF_VM}{name}" for name in vms}
    ranks = list(Level)
    return sorted(
        (each for each in told if each.audience in mine),
        key=lambda each: (-ranks.index(each.level), each.begins_at),
    )


def _check_audience(tx: Tx, audience: str) -> None:
    kind, _, name = audience.partition(":")
    if audience == EVERYBODY or (f"{kind}:" == OF_ROLE and name in set(Role)):
        return
    if f"{kind}:" == OF_GROUP and name:
        users.check_group_name(name)
        if name in db.groups.all_names(tx):
            return
    if f"{kind}:" == OF_VM and db.vms.by_name(tx, name):
        return
    raise Invalid(
        "bad_audience",
        f"{audience[:80]!r} is nobody's.",
        f"One of: {EVERYBODY}, role:{Role.ADMIN}, group:NAME, vm:NAME (who has containers there).",
    )


def _audit(tx: Tx, at: datetime, who: str, event: str, told: Announcement) -> None:
    details = {name: value for name, value in vars(told).items() if name not in ("id", "author")}
    times = {name: told_at.isoformat() for name, told_at in _times(told).items()}
    about = f"announcement:{told.id}"
    db.audit.append(tx, at, who, f"announcement.{event}", about, **{**details, **times})


def _times(told: Announcement) -> dict[str, datetime]:
    return {"begins_at": told.begins_at, "ends_at": told.ends_at}
