"""Rows of users, and the other names that their certificates give them."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Unpack

import sqlalchemy as sa

from portal.core.models import Vm
from portal.core.people import Role, SshKey, User
from portal.db import rows
from portal.db.columns import UserColumns
from portal.db.connection import Tx, one_or_none
from portal.db.people_schema import aliases, certificates, users
from portal.db.schema import UtcDateTime, deployments


def by_subject(tx: Tx, subject: str) -> User | None:
    """The user with this subject key, or with it as another name."""
    found = one_or_none(tx, rows.user_select().where(users.c.subject == subject), rows.user)
    if found:
        return found
    other = sa.select(aliases.c.user_id).where(aliases.c.subject == subject).scalar_subquery()
    return one_or_none(tx, rows.user_select().where(users.c.id == other), rows.user)


def by_id(tx: Tx, user_id: int) -> User | None:
    """The user with this id, unless they are part of another."""
    query = rows.user_select().where(users.c.id == user_id, users.c.merged_into.is_(None))
    return one_or_none(tx, query, rows.user)


def root_of(tx: Tx, subject: str) -> str:
    """The root that first vouched for this name, which may be another name of somebody, or ""."""
    own = sa.select(users.c.root).where(users.c.subject == subject)
    other = sa.select(aliases.c.root).where(aliases.c.subject == subject)
    return tx.execute(own.union_all(other)).scalar() or ""


def set_root(tx: Tx, subject: str, root: str) -> None:
    """Note who vouched first for a name or another name."""
    for table in (users, aliases):
        tx.execute(table.update().where(table.c.subject == subject).values(root=root))


@dataclass(frozen=True)
class Called:
    """That a user is called by a name, as the authority of a root has it ("": not known)."""

    name: str
    user_id: int
    root: str


def called(tx: Tx, names: Collection[str], now: datetime) -> list[Called]:
    """Who is called by these subjects: accounts, other names, and UPNs of cards that count.

    Of each name the first who signed in with it comes first.
    """
    never = sa.literal(datetime.max.replace(tzinfo=UTC), UtcDateTime)
    upn = "upn:" + certificates.c.upn
    counts = certificates.c.not_after.is_(None) | (certificates.c.not_after > now)
    of_accounts = sa.select(users.c.subject, users.c.id, users.c.root, users.c.created_at)
    of_aliases = sa.select(aliases.c.subject, aliases.c.user_id, aliases.c.root, never)
    of_cards = sa.select(
        upn, certificates.c.user_id, certificates.c.root, certificates.c.first_seen_at
    )
    upns = [name.removeprefix("upn:") for name in names if name.startswith("upn:")]
    rows_of = sa.union_all(
        of_accounts.where(users.c.subject.in_(names)),
        of_aliases.where(aliases.c.subject.in_(names)),
        of_cards.where(certificates.c.upn.in_(upns), counts),
    ).subquery()
    name, user_id, root, since = rows_of.c
    query = sa.select(name, user_id, root).order_by(since, user_id)
    return [Called(*row) for row in tx.execute(query)]


def names(tx: Tx, now: datetime) -> tuple[list[Called], list[Called]]:
    """What people are known by: by their accounts (each name is one's), and by UPNs of cards.

    Of cards that count; several may carry the same.
    """
    own = sa.union_all(
        sa.select(users.c.subject, users.c.id, users.c.root).where(users.c.merged_into.is_(None)),
        sa.select(aliases.c.subject, aliases.c.user_id, aliases.c.root),
    )
    counts = certificates.c.not_after.is_(None) | (certificates.c.not_after > now)
    upn = "upn:" + certificates.c.upn
    of_cards = sa.select(upn, certificates.c.user_id, certificates.c.root)
    carried = of_cards.where(certificates.c.upn > "", counts).distinct()
    return [Called(*row) for row in tx.execute(own)], [Called(*row) for row in tx.execute(carried)]


def display_names(tx: Tx) -> dict[str, str]:
    """What everybody is called, by subject, in the order of the names."""
    query = sa.select(users.c.subject, users.c.display_name).where(users.c.merged_into.is_(None))
    return dict(tx.execute(query.order_by(users.c.display_name)).tuples().all())


def newest(tx: Tx) -> int:
    """The id of who signed in first last; 0 for nobody."""
    return int(tx.execute(sa.select(sa.func.max(users.c.id))).scalar() or 0)


def put_keys(tx: Tx, user_id: int, keys: Iterable[SshKey]) -> None:
    """These are the keys that a user added."""
    update(tx, user_id, ssh_keys=[vars(key) for key in keys])


def add_alias(tx: Tx, subject: str, user_id: int, root: str) -> None:
    """Let a subject be another name of a user."""
    tx.execute(aliases.insert().values(subject=subject, user_id=user_id, root=root))


def aliases_of(tx: Tx, user_id: int) -> list[str]:
    """The other names of a user."""
    query = sa.select(aliases.c.subject).where(aliases.c.user_id == user_id)
    return list(tx.execute(query.order_by(aliases.c.subject)).scalars())


def remove_alias(tx: Tx, subject: str) -> bool:
    """Let a subject be nobody's other name any more; False where it was none."""
    return bool(tx.execute(aliases.delete().where(aliases.c.subject == subject)).rowcount)


def move_aliases(tx: Tx, before: int, after: int) -> None:
    """The other names of one user become another's, and who was merged into them with those."""
    tx.execute(aliases.update().where(aliases.c.user_id == before).values(user_id=after))
    tx.execute(users.update().where(users.c.merged_into == before).values(merged_into=after))


def update(tx: Tx, user_id: int, **values: Unpack[UserColumns]) -> None:
    """Change columns of a user."""
    tx.execute(users.update().where(users.c.id == user_id).values(**values))


def merged_subject(user: User) -> str:
    """The subject of an account that is part of another now: nobody signs in as it."""
    return f"merged:{user.id}:{user.subject}"


def merged(tx: Tx, subject: str) -> User | None:
    """The account that had this subject before it became part of another."""
    name = sa.literal("merged:") + sa.cast(users.c.id, sa.Text) + f":{subject}"
    query = rows.user_select().where(users.c.merged_into.is_not(None), users.c.subject == name)
    return one_or_none(tx, query, rows.user)


def all_users(tx: Tx) -> list[User]:
    """Every user, in order of first sign-in, without those that are part of another."""
    return some(tx, sa.true())


def some(tx: Tx, which: sa.ColumnElement[bool]) -> list[User]:
    """Those of all for whom a condition holds."""
    query = rows.user_select().where(users.c.merged_into.is_(None), which).order_by(users.c.id)
    return [rows.user(row) for row in tx.execute(query)]


def owners(tx: Tx, vms: Iterable[Vm]) -> dict[int, User]:
    """Those to whom VMs are dedicated, by id."""
    ids = {vm.owner_id for vm in vms if vm.owner_id is not None}
    return {user.id: user for user in some(tx, users.c.id.in_(ids))}


def with_role(tx: Tx) -> list[User]:
    """Whoever is more than a user, by what the records say of them."""
    return some(tx, users.c.role.in_([role for role in Role if role is not Role.USER]))


def disabled_by(tx: Tx, who: str) -> list[User]:
    """Whom somebody keeps out."""
    return some(tx, users.c.disabled_by == who)


def standings(tx: Tx, user_ids: Collection[int]) -> dict[int, Hashable]:
    """By user, what differs when what they may do, or their added keys, have changed."""
    table = users.c
    query = sa.select(
        table.id,
        table.role,
        table.retired_at,
        table.disabled_at,
        table.sessions_ended_at,
        sa.cast(table.ssh_keys, sa.Text),
    ).where(table.id.in_(user_ids))
    return {row.id: tuple(row) for row in tx.execute(query)}


def owner_seen(tx: Tx, deployment_id: str, now: datetime, before: datetime) -> None:
    """Note that a deployment's owner was there, unless that is known since `before`."""
    owner = sa.select(deployments.c.owner_id).where(deployments.c.id == deployment_id)
    _seen(tx, users.c.id == owner.scalar_subquery(), now, before)


def seen(tx: Tx, user_id: int, now: datetime, before: datetime) -> None:
    """Note that a user is here, unless that is known since `before`."""
    _seen(tx, users.c.id == user_id, now, before)


def _seen(tx: Tx, which: sa.ColumnElement[bool], now: datetime, before: datetime) -> None:
    old = sa.or_(users.c.last_seen_at.is_(None), users.c.last_seen_at < before)
    tx.execute(users.update().where(which, old).values(last_seen_at=now))


def others(tx: Tx, user_id: int) -> bool:
    """Whether there is anybody else."""
    query = sa.select(users.c.id).where(users.c.id != user_id, users.c.merged_into.is_(None))
    return tx.execute(query.limit(1)).first() is not None


@dataclass(frozen=True)
class RangeHolder:
    """Who has a range of ports, and since when they have left."""

    index: int
    user_id: int
    retired_at: datetime | None


def range_holders(tx: Tx) -> list[RangeHolder]:
    """Of every range that is given."""
    query = sa.select(users.c.range_index, users.c.id, users.c.retired_at)
    return [RangeHolder(*row) for row in tx.execute(query.where(users.c.range_index >= 0))]


def of_ranges(tx: Tx, indexes: Collection[int]) -> list[User]:
    """Those who have one of these ranges of ports."""
    query = rows.user_select().where(users.c.range_index.in_(indexes))
    return [rows.user(row) for row in tx.execute(query)]


def insert(tx: Tx, subject: str, display_name: str, role: str, now: datetime) -> User:
    """Create the user, without ports. Call within a writing transaction."""
    tx.execute(
        users.insert().values(
            subject=subject,
            display_name=display_name,
            card_name=display_name,
            role=role,
            created_at=now,
        )
    )
    user = by_subject(tx, subject)
    assert user is not None
    return user
