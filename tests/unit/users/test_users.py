"""Who signs in is who they were before, by the name on the card of today."""

from __future__ import annotations

from dataclasses import replace

from portal import db, users
from portal.context import Portal
from portal.core.people import Role, User
from portal.scheduling import quotas
from support.samples import JANE, TEST, identity


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
        {"name": "Jane Q Smith", "before": {"name": "Jane Q Doe"}}
    ]


def with_admins(portal: Portal, admins: str) -> Portal:
    settings = portal.settings.model_copy(update={"admins": admins})
    return replace(portal, settings=settings)


def test_a_role_by_the_list_counts_while_the_list_names_somebody(portal: Portal) -> None:
    listed = with_admins(portal, "1234567890")
    assert users.user_of(listed, JANE).role is Role.ADMIN
    assert users.user_of(portal, JANE).role is Role.USER
    assert users.user_of(listed, JANE).role is Role.ADMIN
    [(shown, _)] = quotas.everybody(listed, TEST)
    assert shown.role is Role.ADMIN


def test_a_role_given_in_the_portal_stays_whatever_the_list_says(
    portal: Portal, jane: User
) -> None:
    assert users.set_role(portal, TEST, jane.subject, Role.CURATOR) is Role.CURATOR
    listed = with_admins(portal, "1234567890")
    assert users.set_role(listed, TEST, jane.subject, Role.CURATOR) is Role.ADMIN
    assert users.user_of(with_admins(portal, "1234567890"), JANE).role is Role.ADMIN
    assert users.user_of(portal, JANE).role is Role.CURATOR


def test_a_role_that_was_once_taken_over_from_the_list_is_named(portal: Portal, jane: User) -> None:
    with portal.database.transaction() as tx:
        db.users.update(tx, jane.id, role=Role.ADMIN)  # as earlier versions did
    with portal.database.reading() as tx:
        assert [user.id for user in users.left_from_lists(portal, tx)] == [jane.id]
        assert users.left_from_lists(with_admins(portal, "1234567890"), tx) == []
    users.set_role(portal, TEST, jane.subject, Role.ADMIN)
    with portal.database.reading() as tx:
        assert users.left_from_lists(portal, tx) == []
