"""What may be held: limits by user, group, member of a group and default; what is taken of them."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from portal import db, users
from portal.context import Portal
from portal.core.errors import Forbidden, Invalid
from portal.core.models import Deployment, Order
from portal.core.people import Actor, User
from portal.core.resources import DEPLOYMENTS, NO_LIMITS, NOTHING, Amount, Quota, Resources
from portal.core.settings import Settings
from portal.db import Tx
from portal.users import permissions

DEFAULT, GROUP, USER = db.quotas.DEFAULT, db.quotas.GROUP, db.quotas.USER
MEMBER, member_key = db.quotas.MEMBER, db.quotas.member_key

YOU = "you"

MAX_LIMIT = 10**6
Rows = Mapping[tuple[str, str], Quota]


@dataclass(frozen=True)
class Allowance:
    """What somebody may hold in all, and what of it is taken.

    `whose` is "you" or the group's name; `of`: the group of which it is a member's share.
    """

    whose: str
    limits: Resources
    held: Resources = NOTHING
    of: str = ""

    @property
    def left(self) -> Resources:
        """What may still be asked for, never below 0 (a quota may be lowered below use)."""
        return (self.limits - self.held).floored()

    def exceeded_by(self, asked: Resources) -> Iterator[tuple[Amount, float, float]]:
        """(amount, asked for, left) of whatever is over the quota: the one rule for that."""
        return asked.shortfall(self.left)


def limits_of(settings: Settings, default: Quota | None, own: Quota | None) -> Resources:
    """A user's limits: their own row, then the default row, then the settings."""
    base = Resources(
        gpus=settings.max_gpus,
        memory_gb=settings.max_memory_gb,
        cpus=settings.max_cpus,
        deployments=settings.max_deployments,
    )
    return (own or Quota()).over((default or Quota()).over(base))


def allowance(portal: Portal, tx: Tx, user: User) -> Allowance:
    """The user's limits and what they hold."""
    default, own = db.quotas.get(tx, DEFAULT, ""), db.quotas.get(tx, USER, user.subject)
    limits = limits_of(portal.settings, default, own)
    return Allowance(YOU, limits, db.quotas.held_by_user(tx, user.id))


def group_allowance(tx: Tx, group: str) -> Allowance | None:
    """What a group's members share and hold; None for no group. Without a row there is no limit."""
    if not group:
        return None
    limits = (db.quotas.get(tx, GROUP, group) or Quota()).over(NO_LIMITS)
    return Allowance(group, limits, db.quotas.held_for_group(tx, group))


def _share(tx: Tx, user: User, group: str) -> Allowance | None:
    """What one member may hold of a group's; None where that is all of it."""
    row = db.quotas.get(tx, MEMBER, member_key(group, user.subject)) if group else None
    if row is None:
        return None
    held = db.quotas.held_for_group(tx, group, user.id)
    return Allowance(YOU, row.over(NO_LIMITS), held, of=group)


def _that_apply(portal: Portal, tx: Tx, user: User, group: str) -> list[Allowance]:
    """All that limit what a user asks for a group ("" for none)."""
    own, shared = allowance(portal, tx, user), group_allowance(tx, group)
    share = _share(tx, user, group)
    return [each for each in (own, share, shared) if each is not None]


def allowances(portal: Portal, user: User) -> tuple[Allowance, dict[str, Allowance]]:
    """The user's own, and what each group that they are in shares."""
    with portal.database.reading() as tx:
        groups = {group: group_allowance(tx, group) for group in user.groups}
        own = allowance(portal, tx, user)
    return own, {group: shared for group, shared in groups.items() if shared is not None}


def left(portal: Portal, tx: Tx, user: User, group: str) -> Resources:
    """What the user may still ask for and count for a group: the least of all that limit it."""
    first, *others = _that_apply(portal, tx, user, group)
    return functools.reduce(lambda least, each: least.capped(each.left), others, first.left)


def check(portal: Portal, tx: Tx, user: User, order: Order, *, new: bool) -> None:
    """Raise Forbidden when the order goes over the user's limits, or those of its group.

    Call in the transaction that reserves. `new` is False when a stopped deployment, which counts
    already, starts again.
    """
    for limit in _that_apply(portal, tx, user, order.group):
        check_allowance(order, limit, new=new)


def check_allowance(order: Order, allowance: Allowance, *, new: bool = True) -> None:
    """Raise Forbidden when the order and what is held already are more than is allowed."""
    asked = order.resources + Resources(deployments=1 if new else 0)
    for amount, asked_for, left in allowance.exceeded_by(asked):
        raise _over(allowance, amount, asked_for, left)


def _over(allowance: Allowance, amount: Amount, asked: float, left: float) -> Forbidden:
    whose = allowance.whose
    may = "you may use" if whose == YOU else f"group {whose} may use"
    may += f" for group {allowance.of}" if allowance.of else ""
    if amount is DEPLOYMENTS:
        have = "You have" if whose == YOU else f"Group {whose} has"
        held = allowance.held.deployments
        return Forbidden(
            "too_many_deployments",
            f"{have} {held:g} container{'' if held == 1 else 's'}, the most {may}.",
            "Remove one that is no longer needed.",
        )
    unit, limit = amount.unit, amount.of(allowance.limits)
    hint = f"Ask for {left:g}{unit} or less, or stop another container."
    return Forbidden(
        f"over_{amount.name}",
        f"{amount.noun}: {asked:g}{unit} is more than the {left:g}{unit} left of the"
        f" {limit:g}{unit} {may}.",
        hint if left else "Stop another container.",
    )


def over_quota(portal: Portal, tx: Tx, waiting: Sequence[Deployment]) -> dict[str, str]:
    """Who in the queue would go over a quota by starting, in its order, with the words for it.

    Quotas can be lowered while people wait.
    """
    rows = db.quotas.all_quotas(tx)
    held: dict[Holder, Resources] = defaultdict(lambda: NOTHING)
    for (user_id, group), resources in db.quotas.held_by_everybody(tx).items():
        holders: list[Holder] = [(user_id, None), (None, group), (user_id, group)]
        for holder in holders:
            held[holder] += resources
    reasons: dict[str, str] = {}
    for deployment in waiting:
        limits = _limits(portal.settings, rows, deployment)
        exceeded = ""
        for holder, most in limits:
            limit = Allowance("", most, held[holder])
            exceeded = exceeded or _waits_for_quota(limit, deployment.resources)
        if exceeded:
            reasons[deployment.id] = f"your quota is {exceeded}"
            continue
        for holder, _ in limits:
            held[holder] += deployment.resources
    return reasons


Holder = tuple[int | None, str | None]
"""A user for all groups, a group for all users, or a user for one group."""


def _limits(
    settings: Settings, rows: Rows, deployment: Deployment
) -> list[tuple[Holder, Resources]]:
    """Everything that limits a deployment, with the limits."""
    owner, group = deployment.owner, deployment.group
    own = limits_of(settings, rows.get((DEFAULT, "")), rows.get((USER, owner.subject)))
    of_group = rows.get((GROUP, group)) if group else None
    share = rows.get((MEMBER, member_key(group, owner.subject))) if group else None
    return [
        ((owner.id, None), own),
        *([((None, group), of_group.over(NO_LIMITS))] if of_group else []),
        *([((owner.id, group), share.over(NO_LIMITS))] if share else []),
    ]


def _waits_for_quota(allowance: Allowance, asked: Resources) -> str:
    for amount, asked_for, _ in allowance.exceeded_by(asked):
        noun = f"{amount.unit.strip()} of {amount.noun.lower()}" if amount.unit else amount.noun
        limit, held = amount.of(allowance.limits), amount.of(allowance.held)
        return f"{limit:g} {noun}, with {held:g} in use and {asked_for:g} asked for"
    return ""


def set_quota(portal: Portal, actor: Actor, scope: str, key: str, value: Quota | None) -> None:
    """Set or take away a limit. Lowering it below use ends nothing; it refuses what comes next."""
    _write(portal, actor, (scope, key), lambda _: value)


def change_quota(
    portal: Portal, actor: Actor, scope: str, key: str, changes: Mapping[str, Any]
) -> None:
    """Change some limits of a quota; the others stay as they are when this is done."""
    _write(portal, actor, (scope, key), lambda before: replace(before, **changes))


def _write(
    portal: Portal, actor: Actor, of: tuple[str, str], new: Callable[[Quota], Quota | None]
) -> None:
    scope, key = of
    if scope not in (DEFAULT, GROUP, USER, MEMBER) or (scope == DEFAULT) != (key == ""):
        raise Invalid(
            "bad_scope",
            "A quota is for the default, a group, a member of a group or a user.",
            "Name the group or the user.",
        )
    group, _, member = key.partition("/") if scope == MEMBER else (key, "", "")
    if scope in (GROUP, MEMBER):
        users.check_group_name(group)
    may = permissions.check_leads(actor, group) if scope == MEMBER else ""
    who, now = may or permissions.administrator(actor), portal.now()
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        if scope == USER:
            key = users.known(tx, key).subject  # whichever of their names was given
        if scope == MEMBER:
            key = member_key(group, users.member(tx, group, member).subject)
        before = db.quotas.get(tx, scope, key)
        value = new(before or Quota())
        if value is not None and not value.is_valid(MAX_LIMIT):
            raise Invalid(
                "bad_quota",
                f"A limit is a number from 0 to {MAX_LIMIT}.",
                "Or leave it out: no limit of its own.",
            )
        db.quotas.put(tx, scope, key, value)
        details = db.audit.changed(vars(before or Quota()), vars(value or Quota()))
        if value is None:
            details["deleted"] = True
        db.audit.append(tx, now, who, "quota.set", f"quota:{scope}:{key}", **details)


def all_quotas(portal: Portal, actor: Actor) -> Rows:
    """Every quota row by (scope, key), for administrators."""
    permissions.reader(actor)
    with portal.database.reading() as tx:
        return db.quotas.all_quotas(tx)


def everybody(portal: Portal, actor: Actor) -> list[tuple[User, Allowance]]:
    """Every user with their limits and what they hold, for administrators."""
    permissions.reader(actor)
    with portal.database.reading() as tx:
        rows, held = db.quotas.all_quotas(tx), db.quotas.held_or_waited_for(tx)
        default = rows.get((DEFAULT, ""))
        return [
            (
                user,
                Allowance(
                    YOU,
                    limits_of(portal.settings, default, rows.get((USER, user.subject))),
                    held.get(user.id, NOTHING),
                ),
            )
            for user in users.shown(portal, tx, db.users.all_users(tx))
        ]
