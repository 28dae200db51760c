"""Rows of users."""

from __future__ import annotations

from datetime import datetime
from typing import Unpack

import sqlalchemy as sa

from portal.core.models import User
from portal.db import rows
from portal.db.columns import UserColumns
from portal.db.connection import Tx, one_or_none
from portal.db.schema import users


def by_subject(tx: Tx, subject: str) -> User | None:
    """The user with this subject key."""
    return one_or_none(tx, sa.select(users).where(users.c.subject == subject), rows.user)


def update(tx: Tx, user_id: int, **values: Unpack[UserColumns]) -> None:
    """Change columns of a user."""
    tx.execute(users.update().where(users.c.id == user_id).values(**values))


def all_users(tx: Tx) -> list[User]:
    """Every user, in order of first sign-in."""
    return [rows.user(row) for row in tx.execute(sa.select(users).order_by(users.c.id))]


def next_range(tx: Tx) -> int:
    """The index of the range that the next user gets."""
    highest = tx.execute(sa.select(sa.func.max(users.c.range_index))).scalar()
    return 0 if highest is None else int(highest) + 1


def insert(tx: Tx, subject: str, display_name: str, role: str, now: datetime) -> User:
    """Create the user with the next port range. Call within a writing transaction."""
    index = next_range(tx)
    tx.execute(
        users.insert().values(
            subject=subject, display_name=display_name, role=role, range_index=index, created_at=now
        )
    )
    user = by_subject(tx, subject)
    assert user is not None
    return user
