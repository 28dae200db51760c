"""What an auditor sees: everything that administrators do, without a way to change it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from portal import deployments, users
from portal.context import Portal
from portal.core.models import Order
from portal.core.people import Role, User
from streamlit.testing.v1 import AppTest
from support.apptest import texts
from support.samples import TEST, identity

ADA = identity("8901234567", "Ada U Ditor")
HARMLESS = {"audit-verify", "audit-older", "audit-newer"}


@pytest.fixture
def ada(portal: Portal) -> User:
    users.user_of(portal, ADA)
    users.set_role(portal, TEST, ADA.subject, Role.AUDITOR)
    return users.user_of(portal, ADA)


@pytest.mark.parametrize(
    "page", ["audit", "people", "vms", "groups", "all_containers", "images", "gpus", "usage"]
)
def test_every_page_that_administrators_have_and_nothing_to_press(
    portal: Portal,
    jane: User,
    ada: User,
    page_of: Callable[[User, str], AppTest],
    page: str,
) -> None:
    users.join(portal, TEST, "vision", jane.subject, leads=True)
    deployments.request(portal, jane, Order("ml-cpu", "hers"))
    shown = page_of(ada, page)
    assert not shown.exception
    assert " is for " not in texts(shown)
    assert {button.key for button in shown.button} <= HARMLESS


def test_they_begin_with_the_audit_trail_and_have_no_work_of_their_own(
    ada: User, page_of: Callable[[User, str], AppTest]
) -> None:
    shown = page_of(ada, "")
    assert not shown.exception
    assert shown.subheader[0].value == "Audit"
    menu = texts(shown)
    assert '"key": "all"' in menu
    assert not any(f'"key": "{page}"' in menu for page in ("containers", "deploy", "keys"))
