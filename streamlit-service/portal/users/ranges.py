"""Ranges of 100 ports: given with somebody's first container, free days after they left."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from portal import db
from portal.context import Portal
from portal.core import ports
from portal.core.errors import Conflict, NoCapacity
from portal.core.people import Actor, User
from portal.core.settings import Settings
from portal.db.connection import Tx
from portal.db.users import RangeHolder
from portal.users import entry, permissions
from portal.users.service import known

FEW_LEFT = 0.8
"""From here on health warns."""
KEPT_FOR = timedelta(days=7)
"""So long after somebody retired, their bookmarks and whoever was mistaken lead to nobody else."""


BY_NAMES = 20
"""So many people may have equal numbers where no gateway tells them apart by its address: they are
on different VMs, or in different slots of one."""


def served(settings: Settings) -> list[int]:
    """The ranges that can be used: those of which gateways listen on every port, or have names."""
    span = settings.served_ports
    whole = [index for index in range(ports.RANGES) if _is_in(span, index)]
    return [
        index + ports.RANGES * address for address in range(_addresses(settings)) for index in whole
    ]


def is_served(settings: Settings, index: int) -> bool:
    """Whether a range is one of served()."""
    known = ports.address_of(index) < _addresses(settings)
    return known and _is_in(settings.served_ports, index)


def _is_in(span: range, index: int) -> bool:
    own = ports.range_of(index)
    return own[0] in span and own[-1] in span


def _addresses(settings: Settings) -> int:
    return BY_NAMES if settings.has_names else len(settings.hosts)


def given(portal: Portal, tx: Tx) -> int:
    """How many of those that are served somebody has who may still use them."""
    ours = set(served(portal.settings))
    having = [each for each in db.users.range_holders(tx) if each.index in ours]
    return sum(not _left_behind(portal, tx, each) for each in having)


def choose(portal: Portal, tx: Tx, user: User) -> User:
    """The user with the range they have, or would get. NoCapacity without a free one."""
    now = db.users.by_subject(tx, user.subject) or user
    if now.range_index is not None:
        return now
    taken = {
        each.index for each in db.users.range_holders(tx) if not _left_behind(portal, tx, each)
    }
    index = next((each for each in served(portal.settings) if each not in taken), None)
    if index is None:
        raise NoCapacity(
            "no_range",
            f"All {len(served(portal.settings))} port ranges of the portal are given out.",
            f"Tell {portal.settings.help_contact}: PORTAL_USER_PORTS must be extended, the gateway"
            " needs another address (PORTAL_MORE_HOSTS), or people who left must be retired; their"
            " ports can be freed at once.",
        )
    return replace(now, range_index=index)


def give(portal: Portal, tx: Tx, user: User) -> User:
    """The user with a range of their own from now on. NoCapacity without a free one."""
    chosen = choose(portal, tx, user)
    entry.check(portal, chosen)
    if chosen == (db.users.by_subject(tx, user.subject) or user):
        return chosen
    for other in db.users.of_ranges(tx, [chosen.own_range]):
        _take(portal, tx, other, chosen.subject)
    db.users.update(tx, chosen.id, range_index=chosen.range_index)
    span = ports.range_of(chosen.own_range)
    _audit(portal, tx, chosen.subject, "user.ports_given", chosen, span)
    return chosen


def free(portal: Portal, actor: Actor, subject: str) -> None:
    """Let somebody's range go to others. Conflict while a container of theirs holds ports."""
    who = permissions.administrator(actor)
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        user = known(tx, subject)
        if user.range_index is None:
            raise Conflict("no_ports", f"{user.display_name} has no ports.", "Nothing to do.")
        if db.leases.slots(tx, user.id):
            raise Conflict(
                "ports_in_use",
                f"Containers of {user.display_name} still use these ports.",
                "They must be removed first; retiring the user does so.",
            )
        _take(portal, tx, user, who)


def _take(portal: Portal, tx: Tx, user: User, who: str) -> None:
    db.users.update(tx, user.id, range_index=None)
    _audit(portal, tx, who, "user.ports_freed", user, ports.range_of(user.own_range))


def _left_behind(portal: Portal, tx: Tx, holder: RangeHolder) -> bool:
    """Whether a range is somebody's who retired a while ago, and whose containers are gone."""
    if holder.retired_at is None or portal.now() - holder.retired_at < KEPT_FOR:
        return False
    return not db.leases.slots(tx, holder.user_id)


def _audit(portal: Portal, tx: Tx, who: str, action: str, user: User, span: range) -> None:
    subject = f"user:{user.subject}"
    db.audit.append(tx, portal.now(), who, action, subject, first=span[0], last=span[-1])
