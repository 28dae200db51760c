"""Rows of who is in which group."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from portal.core.models import State
from portal.core.people import User
from portal.db import rows
from portal.db.connection import Tx
from portal.db.people_schema import memberships, users
from portal.db.schema import deployments

PORTAL, DIRECTORY = "portal", "directory"
"""Who says that somebody is in a group: an administrator here, or LDAP."""


@dataclass(frozen=True)
class Membership:
    """That a user is in a group. `source`: PORTAL or DIRECTORY."""

    user_id: int
    group: str
    leads: bool
    source: str


def all_names(tx: Tx) -> set[str]:
    """Every group that has members."""
    return set(tx.execute(sa.select(memberships.c.group).distinct()).scalars())


def of_user(tx: Tx, user_id: int) -> list[Membership]:
    """The groups that somebody is in, by name."""
    return _some(tx, memberships.c.user_id == user_id)


def everybodys(tx: Tx) -> list[Membership]:
    """Who is in which group, of all people."""
    return _some(tx, sa.true())


def from_directory(tx: Tx) -> list[Membership]:
    """What LDAP said of all people when it was last asked."""
    return _some(tx, memberships.c.source == DIRECTORY)


def _some(tx: Tx, which: sa.ColumnElement[bool]) -> list[Membership]:
    query = sa.select(memberships).where(which).order_by(memberships.c.group, memberships.c.user_id)
    return [Membership(**row._mapping) for row in tx.execute(query)]


def members(tx: Tx, group: str) -> list[User]:
    """The people of a group, in order of first sign-in."""
    query = (
        rows.user_select()
        .join(memberships, memberships.c.user_id == users.c.id)
        .where(memberships.c.group == group)
    )
    return [rows.user(row) for row in tx.execute(query.order_by(users.c.id))]


def put(tx: Tx, user_id: int, group: str, *, leads: bool, source: str) -> None:
    """Somebody is in a group; replaces what was said of that before."""
    remove(tx, user_id, group)
    tx.execute(
        memberships.insert().values(user_id=user_id, group=group, leads=leads, source=source)
    )


def remove(tx: Tx, user_id: int, group: str) -> None:
    """Somebody is not in a group any more."""
    tx.execute(
        memberships.delete().where(memberships.c.user_id == user_id, memberships.c.group == group)
    )


def remove_all(tx: Tx, user_id: int) -> None:
    """Somebody is in no group any more."""
    tx.execute(memberships.delete().where(memberships.c.user_id == user_id))


def rename(tx: Tx, before: str, after: str) -> None:
    """Give a group another name, with all that counts for it."""
    for table in (memberships, users, deployments):
        tx.execute(table.update().where(table.c.group == before).values(group=after))


def move_waiting(tx: Tx, user_id: int, before: str, after: str) -> None:
    """What of somebody's waits for a start, and counted for one group, counts for another."""
    d = deployments.c
    waits = (d.owner_id == user_id) & (d.group == before) & (d.state == State.WAITING)
    tx.execute(deployments.update().where(waits).values(group=after))
