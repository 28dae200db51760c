"""Rows of quotas, and what is held of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from portal.core.models import Quota, State
from portal.db import rows
from portal.db.connection import Tx
from portal.db.leases import HELD
from portal.db.schema import deployments, leases, quotas, users


@dataclass(frozen=True)
class Held:
    """What a user's or a group's live and waiting deployments hold together."""

    gpus: int = 0
    memory_gb: float = 0.0
    cpus: float = 0.0
    deployments: int = 0
    """Stopped ones too: each keeps its ports."""

    def plus(self, gpus: int, memory_gb: float, cpus: float) -> Held:
        """With this on top."""
        return Held(
            self.gpus + gpus, self.memory_gb + memory_gb, self.cpus + cpus, self.deployments
        )


def add_up(every: Iterable[Held]) -> Held:
    """All of it together."""
    total = Held()
    for one in every:
        total = total.plus(one.gpus, one.memory_gb, one.cpus)
    return total


def held_by_user(tx: Tx, user_id: int) -> Held:
    """What a user holds or waits for."""
    return _held(tx, deployments.c.owner_id == user_id)


def held_by_group(tx: Tx, group: str) -> Held:
    """What all members of a group hold or wait for together."""
    members = sa.select(users.c.id).where(users.c.group == group)
    return _held(tx, deployments.c.owner_id.in_(members))


def _held(tx: Tx, whose: sa.ColumnElement[bool]) -> Held:
    holds = sa.exists().where(leases.c.deployment_id == deployments.c.id, HELD)
    row = tx.execute(
        _sums().where(whose, sa.or_(holds, deployments.c.state == State.WAITING))
    ).one()
    count = tx.execute(
        sa.select(sa.func.count()).where(whose, deployments.c.state != State.REMOVED)
    ).scalar_one()
    return Held(int(row[0]), float(row[1]), float(row[2]), count)


def held_by_everybody(tx: Tx) -> dict[int, Held]:
    """What each user's containers hold now, waiting left out, by user id."""
    query = (
        _sums()
        .add_columns(deployments.c.owner_id)
        .join(leases, leases.c.deployment_id == deployments.c.id)
    )
    found = tx.execute(query.where(HELD).group_by(deployments.c.owner_id))
    return {row[3]: Held(int(row[0]), float(row[1]), float(row[2])) for row in found}


def _sums() -> sa.Select[Any]:
    columns = (deployments.c.gpus, deployments.c.memory_gb, deployments.c.cpus)
    return sa.select(*(sa.func.coalesce(sa.func.sum(column), 0) for column in columns))


def get(tx: Tx, scope: str, key: str) -> Quota | None:
    """The row of a default (key ""), group or user; None when there is none."""
    row = tx.execute(sa.select(quotas).where(quotas.c.scope == scope, quotas.c.key == key)).first()
    return rows.quota(row) if row is not None else None


def all_quotas(tx: Tx) -> dict[tuple[str, str], Quota]:
    """Every row, by (scope, key)."""
    found = tx.execute(sa.select(quotas).order_by(quotas.c.scope, quotas.c.key))
    return {(row.scope, row.key): rows.quota(row) for row in found}


def put(tx: Tx, scope: str, key: str, value: Quota | None) -> None:
    """Replace a row; None deletes it."""
    tx.execute(quotas.delete().where(quotas.c.scope == scope, quotas.c.key == key))
    if value is not None:
        tx.execute(quotas.insert().values(scope=scope, key=key, **vars(value)))
