"""Health: what is wrong with the command and where to read on, and what is well."""

from __future__ import annotations

from collections.abc import Callable

from portal.context import Portal
from portal.core.health import Status
from portal.core.people import User
from portal.monitoring import looks
from streamlit.testing.v1 import AppTest
from support.apptest import texts

WELL = Status("ok", "backup", "backup", "The last backup is 3 h old.")
ILL = Status("critical", "vm", "vm-01", "*vm-01* is away.", "ssh vm-01", "vm-unreachable")


def test_what_is_wrong_comes_with_its_command_and_a_place_to_read(
    portal: Portal, ray: User, page_of: Callable[[User, str], AppTest]
) -> None:
    looks.look(portal, lambda _: [WELL, ILL])
    page = page_of(ray, "health")
    assert not page.exception
    assert page.error[0].value.startswith(r"**\*vm-01\* is away.**")
    assert "first seen just now" in page.error[0].value
    assert [code.value for code in page.code] == ["ssh vm-01"]
    assert list(page.dataframe[0].value["What"]) == ["The last backup is 3 h old."]
    assert '"key": "health", "title": "Health", "icon": "monitor_heart"' in texts(page)


def test_a_portal_that_is_well_says_so(
    portal: Portal, ray: User, page_of: Callable[[User, str], AppTest]
) -> None:
    looks.look(portal, lambda _: [WELL])
    page = page_of(ray, "health")
    assert page.success[0].value == "Everything that is looked at is well."


def test_it_is_not_for_everybody(jane: User, page_of: Callable[[User, str], AppTest]) -> None:
    assert '"key": "health"' not in texts(page_of(jane, ""))
