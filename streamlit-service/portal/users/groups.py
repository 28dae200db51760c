"""Groups: who is in which, who leads them, and which one a deployment counts for."""

from __future__ import annotations

import re

from portal import db
from portal.context import Portal
from portal.core.errors import Conflict, Invalid, NotFound
from portal.core.people import Actor, User
from portal.db.connection import Tx
from portal.users import permissions
from portal.users.service import known

NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,59}")
MAX_GROUPS = 100
"""Of one person."""


def check_group_name(name: str) -> None:
    """Raise Invalid unless this can be a group's name, and with it a pool's."""
    if not NAME.fullmatch(name):
        raise Invalid(
            "bad_group",
            f"{name[:60]!r} is not a group name.",
            "Use lowercase letters, digits, dots, hyphens, _.",
        )


def chosen(user: User, asked: str) -> str:
    """The group that an order counts for: the one it names, or the user's main one ("": none).

    Invalid for a group that they are not in.
    """
    if not asked:
        return user.group
    if asked not in user.groups:
        mine = f"Yours: {', '.join(user.groups)}." if user.groups else "You are in no group."
        raise Invalid("not_in_group", f"You are not in group {asked[:60]!r}.", mine)
    return asked


def join(portal: Portal, actor: Actor, group: str, subject: str, *, leads: bool = False) -> None:
    """Put somebody into a group beside those they are in, or change whether they lead it."""
    check_group_name(group)
    who = permissions.administrator(actor)
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        put(portal, tx, who, known(tx, subject), group, leads=leads)
    portal.wake()


def leave(portal: Portal, actor: Actor, group: str, subject: str) -> None:
    """Take somebody out of a group. What they have counts for it until it is started again.

    Conflict where the directory puts them into it.
    """
    who = permissions.administrator(actor)
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        user = member(tx, group, subject)
        kept = {each.group: each for each in db.groups.of_user(tx, user.id)}
        if kept[group].source == db.groups.DIRECTORY and db.directory.is_asked(tx, portal.now()):
            raise Conflict(
                "group_of_directory",
                f"{user.display_name} is in {group} by the directory, which would say so again.",
                "Take them out of the group there: the next look at the directory follows.",
            )
        take_out(portal, tx, who, user, group)
    portal.wake()


def set_group(portal: Portal, actor: Actor, subject: str, group: str) -> None:
    """Make a group somebody's main one, in place of the one that was, "" for none.

    They leave that one, unless the directory says that they are in it.
    """
    if group:
        check_group_name(group)
    who = permissions.administrator(actor)
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        user = known(tx, subject)
        kept = {each.group: each for each in db.groups.of_user(tx, user.id)}
        before = kept.get(user.group)
        if group and group not in kept:
            db.groups.put(tx, user.id, group, leads=False, source=db.groups.PORTAL)
        db.users.update(tx, user.id, group=group)
        if before and before.group != group and before.source == db.groups.PORTAL:
            _remove(tx, user, before.group, group)
        details = db.audit.changed({"group": user.group}, {"group": group})
        db.audit.append(tx, portal.now(), who, "user.group", f"user:{user.subject}", **details)
    portal.wake()


def put(
    portal: Portal,
    tx: Tx,
    who: str,
    user: User,
    group: str,
    *,
    leads: bool,
    source: str = db.groups.PORTAL,
) -> None:
    """Somebody is in a group; it is their main one where they had none. Conflict over MAX_GROUPS.

    What the directory says already stays what it says; who leads is always said here.
    """
    before = next((each for each in db.groups.of_user(tx, user.id) if each.group == group), None)
    if before and before.leads == leads and source in (before.source, db.groups.PORTAL):
        return
    if not before and len(user.groups) >= MAX_GROUPS:
        raise Conflict(
            "too_many_groups",
            f"{user.display_name} is in {MAX_GROUPS} groups, which is the maximum.",
            "Take them out of one.",
        )
    said = before.source if before and source == db.groups.PORTAL else source
    db.groups.put(tx, user.id, group, leads=leads, source=said)
    if not user.group:
        db.users.update(tx, user.id, group=group)
    details = {"leads": leads}
    if before:
        details = db.audit.changed({"leads": before.leads}, details)
    action = "group.changed" if before else "group.joined"
    about = f"user:{user.subject}"
    db.audit.append(tx, portal.now(), who, action, about, group=group, **details)


def take_out(portal: Portal, tx: Tx, who: str, user: User, group: str) -> None:
    """Somebody is in a group no more; their main one is the first of those that are left."""
    main = user.group
    if main == group:
        main = next((each for each in user.groups if each != group), "")
        db.users.update(tx, user.id, group=main)
    _remove(tx, user, group, main)
    db.audit.append(tx, portal.now(), who, "group.left", f"user:{user.subject}", group=group)


def _remove(tx: Tx, user: User, group: str, main: str) -> None:
    """End a membership: what waits counts for the main group, and waits for its VMs."""
    db.groups.remove(tx, user.id, group)
    db.groups.move_waiting(tx, user.id, group, main)
    db.quotas.put(tx, db.quotas.MEMBER, db.quotas.member_key(group, user.subject), None)


def member(tx: Tx, group: str, subject: str) -> User:
    """A user who is in a group. NotFound for anybody else."""
    user = known(tx, subject)
    if group not in user.groups:
        raise NotFound(
            "not_member",
            f"{user.display_name} is not in group {group[:60]!r}.",
            "An administrator puts people into groups, or the directory does.",
        )
    return user


def rename_group(portal: Portal, actor: Actor, before: str, after: str) -> None:
    """Give a group, its quota and the pool of its name another name. Conflict for a known one.

    Conflict, too, for a group of the directory: it would come back under its old name.
    """
    who = permissions.administrator(actor)
    check_group_name(after)
    if permissions.SHARED_POOL in (before, after):
        raise Invalid("bad_group", "Everybody shares this pool.", "Choose another name.")
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        if not _is_group(tx, before):
            raise NotFound(
                "no_such_group", f"There is no group {before[:60]!r}.", "See admin.py group list."
            )
        if _is_group(tx, after):
            raise Conflict(
                "group_exists",
                f"There is a group {after} already.",
                "Put people into it one by one: two quotas cannot become one.",
            )
        if any(each.group == before for each in db.groups.from_directory(tx)):
            raise Conflict(
                "group_of_directory",
                f"Group {before} is in the directory, and would come back.",
                "Rename it there: the next look at the directory moves its people.",
            )
        db.groups.rename(tx, before, after)
        db.vms.rename_pool(tx, before, after)
        db.quotas.rename_group(tx, before, after)
        details = db.audit.changed({"name": before}, {"name": after})
        db.audit.append(tx, portal.now(), who, "group.renamed", f"group:{after}", **details)
    portal.wake()


def _is_group(tx: Tx, name: str) -> bool:
    pools = {vm.pool for vm in db.vms.all_vms(tx)}
    return (
        name in db.groups.all_names(tx)
        or name in pools
        or db.quotas.get(tx, db.quotas.GROUP, name) is not None
    )
