from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from portal import db
from portal.context import Portal
from portal.db.schema import audit_events, metadata


@pytest.fixture
def trail(portal: Portal) -> Portal:
    with portal.database.transaction() as tx:
        for number in range(5):
            db.audit.append(
                tx, portal.now(), "test", "thing.done", f"thing:{number}", number=number
            )
    return portal


def verdict(portal: Portal) -> db.audit.Verdict:
    with portal.database.reading() as tx:
        return db.audit.verify(tx)


def test_an_untouched_trail_verifies(trail: Portal) -> None:
    assert verdict(trail).broken_at is None


@pytest.mark.parametrize(
    ("tamper", "at"),
    [
        (lambda t: audit_events.update().where(t.c.seq == 3).values(actor="somebody else"), 3),
        (lambda t: audit_events.update().where(t.c.seq == 3).values(details="{}"), 3),
        (lambda t: audit_events.update().where(t.c.seq == 3).values(hash="0" * 64), 3),
        (lambda t: audit_events.delete().where(t.c.seq == 4), 4),
        (lambda t: audit_events.delete().where(t.c.seq >= 6), 6),
    ],
    ids=["actor edited", "details edited", "hash edited", "one deleted", "end cut off"],
)
def test_tampering_is_found_where_it_happened(
    trail: Portal, tamper: Callable[[sa.Table], sa.Executable], at: int
) -> None:
    with trail.database.transaction() as tx:
        tx.execute(tamper(audit_events))
    assert verdict(trail).broken_at == at


def test_the_migrations_make_exactly_the_declared_tables(portal: Portal) -> None:
    with portal.database.reading() as tx:
        assert compare_metadata(MigrationContext.configure(tx), metadata) == []
