"""What the organisation's directory says of people, carried over: groups, and who has left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import structlog

from portal import db
from portal.context import Portal
from portal.core.directory import Directory, DirectoryTrouble, Listing
from portal.core.errors import PortalError
from portal.core.people import User
from portal.db.connection import Tx
from portal.db.directory import Look
from portal.db.groups import DIRECTORY, PORTAL, Membership
from portal.users import accounts, groups

WHO = "directory"
"""As the audit trail names it."""
LEFT = "no longer in the organisation's directory"
FEW, PART = 3, 0.1
"""So many people, or this part of all, may leave at once: more is more likely a wrong setting."""
FEW_GROUPS, PART_OF_GROUPS = 10, 0.5

log = structlog.get_logger()


@dataclass(frozen=True)
class _Changes:
    """What would be done, each with its user."""

    left: list[User]
    back: list[User]
    join: list[tuple[User, str, bool]]
    leave: list[tuple[User, str]]


def look(portal: Portal, directory: Directory, *, all_at_once: bool = False) -> Look:
    """Ask the directory about everybody, and carry over what it says.

    Nothing changes where it cannot be asked, or where it would end more than is likely unless
    `all_at_once`: the look's problem says so.
    """
    with portal.database.reading() as tx:
        names, before = db.users.names(tx), db.directory.last(tx)
    succeeded = before.succeeded_at if before else None
    try:
        listings = directory.look_up(names)
        with portal.database.transaction() as tx:
            db.serialize_writers(tx)
            done = _carry_over(portal, tx, directory, listings, all_at_once=all_at_once)
            db.directory.put(tx, done)
    except DirectoryTrouble as trouble:
        done = Look(portal.now(), succeeded, str(trouble))
        log.warning("directory_trouble", cause=str(trouble))
        with portal.database.transaction() as tx:
            db.directory.put(tx, done)
    else:
        portal.wake()
    return done


def _carry_over(
    portal: Portal,
    tx: Tx,
    directory: Directory,
    listings: Mapping[int, Listing | None],
    *,
    all_at_once: bool,
) -> Look:
    people = [user for user in db.users.all_users(tx) if not user.retired_at]
    memberships: dict[int, dict[str, Membership]] = {}
    for each in db.groups.everybodys(tx):
        memberships.setdefault(each.user_id, {})[each.group] = each
    changes = _changes(people, memberships, listings, who_left=directory.tells_who_left)
    if not all_at_once:
        _check_likely(people, memberships, changes)
    for user in changes.left:
        accounts.disable(portal, tx, WHO, user, LEFT)
    for user in changes.back:
        accounts.enable_in(portal, tx, WHO, user)
    for user, group in changes.leave:
        groups.take_out(portal, tx, WHO, db.users.by_id(tx, user.id) or user, group)
    refused = [each for each in changes.join if not _join(portal, tx, *each)]
    for user in people:
        # Of one that cannot tell who left nobody is kept: the next one might say that all have.
        named = directory.tells_who_left and user.id in listings
        if user.in_directory != named:
            db.users.update(tx, user.id, in_directory=named)
    now: datetime = portal.now()
    return Look(
        now,
        now,
        _refused(refused),
        people=len(people),
        missing=sum(user.id not in listings for user in people),
        ambiguous=sum(listing is None for listing in listings.values()),
    )


def _changes(
    people: list[User],
    memberships: Mapping[int, Mapping[str, Membership]],
    listings: Mapping[int, Listing | None],
    *,
    who_left: bool,
) -> _Changes:
    changes = _Changes([], [], [], [])
    for user in people:
        listing, kept = listings.get(user.id), memberships.get(user.id, {})
        if user.id in listings and listing is None:
            continue  # it cannot be told who they are
        if listing is None and who_left and user.in_directory and not user.disabled_at:
            changes.left.append(user)
        if listing and user.disabled_by == WHO:
            changes.back.append(user)
        wanted = listing.groups if listing else frozenset()
        for group in sorted(wanted):
            membership = kept.get(group)
            if membership and membership.source == PORTAL:
                continue  # an administrator said so, and takes it back
            leads = membership.leads if membership else False
            if listing and listing.leads is not None:
                leads = group in listing.leads
            if membership is None or leads != membership.leads:
                changes.join.append((user, group, leads))
        changes.leave.extend(
            (user, group)
            for group, membership in kept.items()
            if membership.source == DIRECTORY and group not in wanted
        )
    return changes


def _check_likely(
    people: list[User],
    memberships: Mapping[int, Mapping[str, Membership]],
    changes: _Changes,
) -> None:
    """Raise DirectoryTrouble for more than is likely: a wrong base must not shut people out."""
    known = sum(user.in_directory and not user.disabled_at for user in people)
    kept = sum(
        each.source == DIRECTORY for of_user in memberships.values() for each in of_user.values()
    )
    for gone, of, few, part, words in (
        (len(changes.left), known, FEW, PART, "people would be disabled, as having left"),
        (len(changes.leave), kept, FEW_GROUPS, PART_OF_GROUPS, "memberships of groups would end"),
    ):
        if gone > max(few, of * part):
            raise DirectoryTrouble(f"{gone} of {of} {words}; nothing was changed")


def _join(portal: Portal, tx: Tx, user: User, group: str, leads: bool) -> bool:  # noqa: FBT001
    now = db.users.by_id(tx, user.id) or user
    try:
        groups.check_group_name(group)
        groups.put(portal, tx, WHO, now, group, leads=leads, source=DIRECTORY)
    except PortalError as error:
        log.warning("group_refused", user=user.subject, group=group, code=error.code)
        return False
    return True


def _refused(refused: list[tuple[User, str, bool]]) -> str:
    names = sorted({group for _, group, _ in refused})
    return f"these groups are not taken over: {', '.join(names[:5])}" if names else ""
