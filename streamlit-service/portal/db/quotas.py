"""Rows of quotas, and what is held of them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from portal.core.models import State
from portal.core.resources import ORDERED, Quota, Resources
from portal.db import rows
from portal.db.connection import Tx
from portal.db.leases import HELD
from portal.db.schema import deployments, leases, quotas


def held_by_user(tx: Tx, user_id: int) -> Resources:
    """What a user holds or waits for."""
    return _held_or_waited_for(tx, deployments.c.owner_id == user_id)


DEFAULT, GROUP, USER, MEMBER = "default", "group", "user", "member"
"""Scopes of a row."""


def member_key(group: str, subject: str) -> str:
    """The key of what one member may hold of a group's. No group has a slash in its name."""
    return f"{group}/{subject}"


def held_for_group(tx: Tx, group: str, user_id: int | None = None) -> Resources:
    """What all containers of a group hold or wait for together, or those of one member."""
    whose = _KEPT & (deployments.c.group == group)
    return _held_or_waited_for(
        tx, whose if user_id is None else whose & (deployments.c.owner_id == user_id)
    )


def _held_or_waited_for(tx: Tx, whose: sa.ColumnElement[bool]) -> Resources:
    row = tx.execute(_sums().where(whose, _COUNTS)).one()
    count = tx.execute(
        sa.select(sa.func.count()).where(whose, deployments.c.state != State.REMOVED)
    ).scalar_one()
    return _summed(row) + Resources(deployments=count)


def held_or_waited_for(tx: Tx, group: str | None = None) -> dict[int, Resources]:
    """What each user holds or waits for, by user id: in all, or of a group."""
    owner = deployments.c.owner_id
    kept = _KEPT if group is None else _KEPT & (deployments.c.group == group)
    sums = tx.execute(_sums().add_columns(owner).where(kept, _COUNTS).group_by(owner))
    held = {row.owner_id: _summed(row) for row in sums}
    counts = tx.execute(sa.select(owner, sa.func.count()).where(kept).group_by(owner))
    for user_id, count in counts.tuples():
        held[user_id] = held.get(user_id, Resources()) + Resources(deployments=count)
    return held


def held_by_everybody(tx: Tx) -> dict[tuple[int, str], Resources]:
    """What containers hold now, waiting left out, by user id and group."""
    by = (deployments.c.owner_id, deployments.c.group)
    query = _sums().add_columns(*by).join(leases, leases.c.resource == deployments.c.id)
    held = tx.execute(query.where(HELD).group_by(*by))
    return {(row.owner_id, row.group): _summed(row) for row in held}


def _sums() -> sa.Select[Any]:
    """Of each amount that is ordered, under its name."""
    return sa.select(
        *(
            sa.func.coalesce(sa.func.sum(deployments.c[amount.name]), 0).label(amount.name)
            for amount in ORDERED
        )
    )


def _summed(row: sa.Row[Any]) -> Resources:
    return Resources(**{amount.name: float(getattr(row, amount.name)) for amount in ORDERED})


_KEPT = deployments.c.state != sa.literal(State.REMOVED.value, literal_execute=True)
"""As the index of live names has it, word for word, so that it is used."""
# By the resource, which has an index of what is held; of deployments' past leases there are many.
_COUNTS = sa.or_(
    sa.exists().where(leases.c.resource == deployments.c.id, HELD),
    deployments.c.state == State.WAITING,
)


def get(tx: Tx, scope: str, key: str) -> Quota | None:
    """The row of a default (key ""), group or user; None when there is none."""
    row = tx.execute(sa.select(quotas).where(quotas.c.scope == scope, quotas.c.key == key)).first()
    return rows.quota(row) if row is not None else None


def all_quotas(tx: Tx) -> dict[tuple[str, str], Quota]:
    """Every row, by (scope, key)."""
    stored = tx.execute(sa.select(quotas).order_by(quotas.c.scope, quotas.c.key))
    return {(row.scope, row.key): rows.quota(row) for row in stored}


def rename_group(tx: Tx, before: str, after: str) -> None:
    """The quota of a group, and the shares of its members, are another group's."""
    query = quotas.update().where(quotas.c.scope == GROUP, quotas.c.key == before)
    tx.execute(query.values(key=after))
    for key in shares(tx, before):
        query = quotas.update().where(quotas.c.scope == MEMBER, quotas.c.key == key)
        tx.execute(query.values(key=member_key(after, key.partition("/")[2])))


def shares(tx: Tx, group: str) -> dict[str, Quota]:
    """What single members may hold of a group's, by key."""
    prefix = quotas.c.key.startswith(member_key(group, ""), autoescape=True)
    query = sa.select(quotas).where(quotas.c.scope == MEMBER, prefix)
    return {row.key: rows.quota(row) for row in tx.execute(query)}


def put(tx: Tx, scope: str, key: str, value: Quota | None) -> None:
    """Replace a row; None deletes it."""
    tx.execute(quotas.delete().where(quotas.c.scope == scope, quotas.c.key == key))
    if value is not None:
        tx.execute(quotas.insert().values(scope=scope, key=key, **vars(value)))
