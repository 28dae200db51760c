"""What a user may hold: limits per user, per group and default, and what is taken of them."""

from __future__ import annotations

import re

from portal import db
from portal.context import Portal
from portal.core.errors import Invalid, NotFound
from portal.core.models import Order, Quota, User
from portal.db.connection import Tx
from portal.users import permissions
from portal.users.permissions import YOU, Allowance

DEFAULT, GROUP, USER = "default", "group", "user"
UNLIMITED = 10**9
MOST = 10**6
GROUP_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,59}")


def allowance(portal: Portal, tx: Tx, user: User) -> Allowance:
    """The user's limits and what they hold."""
    quota = permissions.quota_of(
        portal.settings, db.quotas.get(tx, DEFAULT, ""), db.quotas.get(tx, USER, user.subject)
    )
    held = db.quotas.held_by_user(tx, user.id)
    return _allowance(YOU, quota, held)


def group_allowance(tx: Tx, group: str) -> Allowance | None:
    """What a group's members share and hold; None for no group. Without a row there is no limit."""
    if not group:
        return None
    return _allowance(
        group, db.quotas.get(tx, GROUP, group) or Quota(), db.quotas.held_by_group(tx, group)
    )


def left(portal: Portal, tx: Tx, user: User) -> dict[str, float]:
    """What the user may still ask for: the smaller of their own and their group's."""
    every = [
        one
        for one in (allowance(portal, tx, user), group_allowance(tx, user.group))
        if one is not None
    ]
    return {kind: min(one.left(kind) for one in every) for kind in ("gpus", "memory_gb", "cpus")}


def _allowance(whose: str, quota: Quota, held: db.quotas.Held) -> Allowance:
    return Allowance(
        whose,
        UNLIMITED if quota.gpus is None else quota.gpus,
        UNLIMITED if quota.memory_gb is None else quota.memory_gb,
        UNLIMITED if quota.cpus is None else quota.cpus,
        UNLIMITED if quota.deployments is None else quota.deployments,
        held.gpus,
        held.memory_gb,
        held.cpus,
        held.deployments,
    )


def check(portal: Portal, tx: Tx, user: User, order: Order, *, new: bool) -> None:
    """Raise Forbidden when the order goes over the user's or their group's limits.

    Call in the transaction that reserves (invariant 2). `new` is False when a stopped deployment,
    which counts already, starts again.
    """
    for one in (allowance(portal, tx, user), group_allowance(tx, user.group)):
        if one is not None:
            permissions.check_quota(order, one, new=new)


def set_quota(portal: Portal, actor: User | str, scope: str, key: str, value: Quota | None) -> None:
    """Set or take away a limit.

    Lowering it below use ends nothing; it only refuses what comes next.
    """
    if scope not in (DEFAULT, GROUP, USER) or (scope == DEFAULT) != (key == ""):
        raise Invalid(
            "bad_scope",
            "A quota is for the default, a group or a user.",
            "Name the group or the user.",
        )
    # NaN too.
    if value is not None and any(
        a is not None and not 0 <= a <= MOST for a in vars(value).values()
    ):
        raise Invalid(
            "bad_quota",
            f"A limit is a number from 0 to {MOST}.",
            "Or leave it out: no limit of its own.",
        )
    if scope == GROUP:
        check_group(key)
    who, now = permissions.acting(actor), portal.now()
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        if scope == USER and db.users.by_subject(tx, key) is None:
            raise NotFound(
                "no_such_user", f"No user {key} is known.", "They appear once they have signed in."
            )
        db.quotas.put(tx, scope, key, value)
        details = vars(value) if value is not None else {"deleted": True}
        db.audit.append(tx, now, who, "quota.set", f"quota:{scope}:{key}", **details)


def check_group(name: str) -> None:
    """Raise Invalid unless this can be a group's name, and with it a pool's."""
    if not GROUP_NAME.fullmatch(name):
        raise Invalid(
            "bad_group",
            f"{name[:60]!r} is no group name.",
            "Use small letters, digits, dots, hyphens, _.",
        )


def set_group(portal: Portal, actor: User | str, subject: str, group: str) -> None:
    """Put a user into a group, "" for none."""
    if group:
        check_group(group)
    who, now = permissions.acting(actor), portal.now()
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        user = db.users.by_subject(tx, subject)
        if user is None:
            raise NotFound(
                "no_such_user",
                f"No user {subject} is known.",
                "They appear once they have signed in.",
            )
        db.users.update(tx, user.id, group=group)
        db.audit.append(
            tx, now, who, "user.group", f"user:{subject}", before=user.group, after=group
        )
    portal.wake()
