"""Who signs in is who they were before, by the name on the card of today."""

from __future__ import annotations

import pytest
from portal import db, users
from portal.context import Portal
from portal.core import ports
from portal.core.errors import NoCapacity
from portal.core.models import User
from portal.db.schema import users as users_table
from support.samples import JANE, JOHN, identity


def test_a_new_name_on_the_card_arrives_once(portal: Portal, jane: User) -> None:
    married = identity(name="Jane Q Smith")
    for _ in range(3):
        known = users.user_of(portal, married)
        assert (known.id, known.display_name) == (jane.id, "Jane Q Smith")
    with portal.database.reading() as tx:
        renamed = [event for event in db.audit.events(tx) if event.action == "user.renamed"]
        stored = db.users.by_subject(tx, jane.subject)
    assert stored is not None
    assert stored.display_name == "Jane Q Smith"
    assert [event.details for event in renamed] == [
        {"before": "Jane Q Doe", "after": "Jane Q Smith"}
    ]


def test_whoever_comes_after_the_last_port_range_reads_why(portal: Portal, jane: User) -> None:
    with portal.database.transaction() as tx:
        tx.execute(users_table.update().values(range_index=ports.RANGES - 1))
    with pytest.raises(NoCapacity) as full:
        users.user_of(portal, JOHN)
    assert full.value.code == "no_range"
    assert users.user_of(portal, JANE).id == jane.id  # nobody else notices
