"""What the organisation's directory says of people, carried over: groups, and who has left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import structlog

from portal import db
from portal.context import Portal
from portal.core import subjects
from portal.core.directory import Directory, DirectoryTrouble, Listing
from portal.core.errors import PortalError
from portal.core.people import Role, User
from portal.db.connection import Tx
from portal.db.directory import Look
from portal.db.groups import DIRECTORY, PORTAL, Membership
from portal.db.users import Called
from portal.users import accounts, groups, listed

WHO = accounts.BY_DIRECTORY
"""As the audit trail names it."""
LEFT = "no longer in the organisation's directory"
FEW, PART = 3, 0.1
"""So many people, or this part of all, may leave at once: more is more likely a wrong setting."""
FEW_GROUPS, PART_OF_GROUPS = 10, 0.5
AT_ONCE = 100
"""People whose changes are one transaction: nobody else writes meanwhile."""

log = structlog.get_logger()


@dataclass(frozen=True)
class _Change:
    """What the directory's word on somebody changes. `named`: whether it knows them."""

    user: User
    named: bool
    left: bool
    back: bool
    join: list[tuple[str, bool]]
    leave: list[str]

    @property
    def is_any(self) -> bool:
        return bool(
            self.left
            or self.back
            or self.join
            or self.leave
            or self.named != self.user.in_directory
        )


def look(
    portal: Portal,
    directory: Directory,
    *,
    newer_than: int | None = None,
    all_at_once: bool = False,
) -> Look:
    """Ask the directory about everybody, and carry over what it says.

    Nothing changes where it cannot be asked, or where it would end more than is likely unless
    `all_at_once`: the look's problem says so. `newer_than`: only about users of higher ids.
    """
    with portal.database.reading() as tx:
        before = db.directory.last(tx)
    succeeded = before.succeeded_at if before else None
    try:
        done = _look(portal, directory, newer_than, all_at_once=all_at_once)
    except Exception as error:
        # Whatever it answered: looks that fail are seen by health, and leave everybody as they are.
        known = isinstance(error, DirectoryTrouble)
        log.warning("directory_trouble", cause=str(error), exc_info=not known)
        cause = str(error) if known else f"its answer is not understood: {error!r}"
        done = Look(portal.now(), succeeded, cause)
    else:
        portal.wake()
        if newer_than is not None:
            return done
    with portal.database.transaction() as tx:
        db.directory.put(tx, done)
    return done


def _look(
    portal: Portal, directory: Directory, newer_than: int | None, *, all_at_once: bool
) -> Look:
    with portal.database.reading() as tx:
        names, doubtful = _names(portal, tx)
        people = [
            user
            for user in db.users.all_users(tx)
            if not user.retired_at and user.id > (newer_than or 0)
        ]
        memberships: dict[int, list[Membership]] = {}
        for each in db.groups.everybodys(tx):
            memberships.setdefault(each.user_id, []).append(each)
        roles = {user.id: user.role for user in listed.shown(portal, tx, people)}
    asked = {user.id: names.get(user.id, set()) for user in people}
    listings = directory.look_up(asked)
    for user_id in doubtful & asked.keys():
        if user_id not in listings or not directory.tells_who_left:
            listings[user_id] = None
    changes = [
        _change(user, memberships.get(user.id, []), listings, who_left=directory.tells_who_left)
        for user in people
    ]
    if newer_than is None and not all_at_once:
        kept = [each for user in people for each in memberships.get(user.id, [])]
        _check_likely(changes, kept, roles)
    refused = set[str]()
    wanted = [change.user.id for change in changes if change.is_any]
    for first in range(0, len(wanted), AT_ONCE):
        with portal.database.transaction() as tx:
            db.serialize_writers(tx)
            for user_id in wanted[first : first + AT_ONCE]:
                refused |= _carry_over(portal, tx, user_id, listings, directory.tells_who_left)
    now: datetime = portal.now()
    return Look(
        now,
        now,
        f"these groups are not taken over: {', '.join(sorted(refused)[:5])}" if refused else "",
        people=len(people),
        missing=sum(user.id not in listings for user in people),
        ambiguous=sum(listing is None for listing in listings.values()),
    )


def _names(portal: Portal, tx: Tx) -> tuple[dict[int, set[str]], set[int]]:
    """By user, the names that are theirs alone; and those of whom one is somebody else's as well.

    A directory is of one organisation: where PORTAL_REALMS is set, of its first realm.
    """
    own, carried = db.users.names(tx, portal.now())
    first = next(iter(subjects.realms(portal.settings.realms)), None)

    def counts(each: Called) -> bool:
        return not (first and each.root) or subjects.common_name(each.root) in first

    holders = {each.name: each.user_id for each in own}
    by_name: dict[str, set[int]] = {}
    for each in filter(counts, carried):
        by_name.setdefault(each.name, set()).add(each.user_id)
    names: dict[int, set[str]] = {}
    for each in filter(counts, own):
        names.setdefault(each.user_id, set()).add(each.name)
    doubtful = set[int]()
    for name, people in by_name.items():
        if name in holders:
            continue  # of whom it is an account's name, whatever other cards carry
        if len(people) > 1:
            doubtful |= people
            continue
        [user_id] = people
        names.setdefault(user_id, set()).add(name)
    return names, doubtful


def _change(
    user: User,
    memberships: Iterable[Membership],
    listings: Mapping[int, Listing | None],
    *,
    who_left: bool,
) -> _Change:
    kept = {each.group: each for each in memberships}
    listing = listings.get(user.id)
    if user.id in listings and listing is None:  # it cannot be told who they are
        return _Change(user, user.in_directory, left=False, back=False, join=[], leave=[])
    wanted = listing.groups if listing else frozenset()
    join = []
    for group in sorted(wanted):
        membership = kept.get(group)
        if membership and membership.source == PORTAL:
            continue  # an administrator said so, and takes it back
        leads = membership.leads if membership else False
        if listing and listing.leads is not None:
            leads = group in listing.leads
        if membership is None or leads != membership.leads:
            join.append((group, leads))
    return _Change(
        user,
        # Of one that cannot tell who left nobody is kept: the next one might say that all have.
        named=who_left and listing is not None,
        left=listing is None and who_left and user.in_directory and not user.disabled_at,
        back=listing is not None and who_left and user.disabled_by == WHO,
        join=join,
        leave=sorted(kept.keys() - wanted - {g for g, m in kept.items() if m.source == PORTAL}),
    )


def _carry_over(
    portal: Portal,
    tx: Tx,
    user_id: int,
    listings: Mapping[int, Listing | None],
    who_left: bool,  # noqa: FBT001
) -> set[str]:
    """What changes for somebody as they are by now; the groups that cannot be."""
    user = db.users.by_id(tx, user_id)
    if user is None or user.retired_at:
        return set()
    change = _change(user, db.groups.of_user(tx, user_id), listings, who_left=who_left)
    if change.left:
        accounts.disable(portal, tx, WHO, user, LEFT)
    if change.back:
        accounts.enable_in(portal, tx, WHO, user)
    for group in change.leave:
        groups.take_out(portal, tx, WHO, db.users.by_id(tx, user_id) or user, group)
    if change.named != user.in_directory:
        db.users.update(tx, user_id, in_directory=change.named)
    return {group for group, leads in change.join if not _join(portal, tx, user, group, leads)}


def _check_likely(
    changes: Iterable[_Change], memberships: Iterable[Membership], roles: Mapping[int, Role]
) -> None:
    """Raise DirectoryTrouble for more than is likely: a wrong base must not shut people out."""
    active = [each for each in changes if not each.user.disabled_at]
    known = sum(each.user.in_directory for each in active)
    kept = sum(each.source == DIRECTORY for each in memberships)
    left = sum(each.left for each in active)
    ended = sum(len(each.leave) for each in active)
    words = "people would be disabled, as having left"
    if left > max(FEW, known * PART) or (left == known and left > 1):
        raise DirectoryTrouble(f"{left} of {known} {words}; nothing was changed")
    admins = [each for each in active if roles[each.user.id] is Role.ADMIN]
    if admins and all(each.left for each in admins):
        raise DirectoryTrouble("the last administrator would be disabled; nothing was changed")
    if ended > max(FEW_GROUPS, kept * PART_OF_GROUPS) or (ended == kept and ended > FEW):
        raise DirectoryTrouble(
            f"{ended} of {kept} memberships of groups would end; nothing was changed"
        )


def _join(portal: Portal, tx: Tx, user: User, group: str, leads: bool) -> bool:  # noqa: FBT001
    now = db.users.by_id(tx, user.id) or user
    try:
        groups.check_group_name(group)
        groups.put(portal, tx, WHO, now, group, leads=leads, source=DIRECTORY)
    except PortalError as error:
        log.warning("group_refused", user=user.subject, group=group, code=error.code)
        return False
    return True
