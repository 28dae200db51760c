"""What those who lead a group see of it: its quota, its members, and what each holds of it."""

from __future__ import annotations

from dataclasses import dataclass

from portal import db
from portal.context import Portal
from portal.core.people import Actor, CommandLine, User
from portal.core.resources import NO_LIMITS, NOTHING, Quota
from portal.scheduling.quotas import Allowance, group_allowance
from portal.users import permissions


@dataclass(frozen=True)
class Member:
    """Somebody in a group, with what they may hold and hold of it.

    `share`: their own limits; None where they may hold all of the group's.
    """

    user: User
    leads: bool
    allowance: Allowance
    share: Quota | None


def led(portal: Portal, actor: Actor) -> list[Allowance]:
    """The groups that somebody leads, by name; for administrators all that are known."""
    with portal.database.reading() as tx:
        if isinstance(actor, CommandLine) or permissions.reads_all(actor):
            names = db.groups.all_names(tx)
            names |= {key for scope, key in db.quotas.all_quotas(tx) if scope == db.quotas.GROUP}
        else:
            names = set(actor.leads)
        shared = [group_allowance(tx, name) for name in sorted(names)]
    return [each for each in shared if each is not None]


def members(portal: Portal, actor: Actor, group: str) -> list[Member]:
    """The people of a group, for who leads it, in order of first sign-in."""
    permissions.check_sees_group(actor, group)
    with portal.database.reading() as tx:
        everybody = db.groups.members(tx, group)
        held, shares = db.quotas.held_or_waited_for(tx, group), db.quotas.shares(tx, group)
        shared = db.quotas.get(tx, db.quotas.GROUP, group) or Quota()
    found = []
    for user in everybody:
        share = shares.get(db.quotas.member_key(group, user.subject))
        limits = (share or Quota()).over(shared.over(NO_LIMITS))
        taken = Allowance(user.display_name, limits, held.get(user.id, NOTHING), of=group)
        found.append(Member(user, group in user.leads, taken, share))
    return found
