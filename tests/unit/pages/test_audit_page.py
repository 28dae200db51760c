"""The Audit page: found by who, what and when; whole or broken is said in words."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from portal import db, deployments, users
from portal.context import Portal
from portal.core.people import User
from portal.db.schema import audit_events
from streamlit.testing.v1 import AppTest
from support.apptest import texts
from support.samples import JANE, TEST

PageOf = Callable[[User, str], AppTest]


@pytest.fixture
def page(portal: Portal, jane: User, ray: User, page_of: PageOf) -> AppTest:
    """After Jane was disabled and enabled, from the command line."""
    deployments.disable(portal, TEST, jane.subject, "[Found](https://evil.example) in a train.")
    users.enable(portal, TEST, jane.subject)
    return page_of(ray, "audit")


def whats(page: AppTest) -> list[str]:
    return list(page.dataframe[0].value["What"])


def test_events_are_listed_with_names_the_newest_first(page: AppTest) -> None:
    assert not page.exception
    table = page.dataframe[0].value
    assert whats(page)[:2] == ["user.enabled", "user.disabled"]
    assert table["About"][0] == "user Jane Q Doe"
    assert table["Who"][0].startswith("Command line (")
    assert table["Details"][1].startswith("account: active → disabled, reason: [Found]")


def test_they_are_found_by_kind_person_and_text(page: AppTest) -> None:
    page.selectbox(key="audit-kind").select("user").run()
    assert {what.partition(".")[0] for what in whats(page)} == {"user"}
    page.text_input(key="audit-text").input("in a train").run()
    assert whats(page) == ["user.disabled"]
    page.selectbox(key="audit-who").select(JANE.subject).run()
    assert "No event fits" in texts(page)


def test_a_row_opens_to_all_that_was_recorded(page: AppTest) -> None:
    [seq, *_] = page.dataframe[0].value["No."]
    page.session_state["audit-event"] = int(seq) - 1
    page.run()
    assert f"event {seq - 1}" in texts(page)
    changed, recorded = (each.value for each in page.table)
    assert changed.values.tolist() == [["account", "active", "disabled"]]
    [[name, reason]] = recorded.values.tolist()
    assert (name, reason.startswith("\\[Found\\](")) == ("reason", True), "no link comes of it"


def test_events_of_older_versions_open_to_what_they_say_of_before(
    page: AppTest, portal: Portal
) -> None:
    with portal.database.transaction() as tx:
        about = f"user:{JANE.subject}"
        db.audit.append(tx, portal.now(), "worker", "user.role", about, role="admin", before="user")
    page.run()
    page.session_state["audit-event"] = int(page.dataframe[0].value["No."][0])
    page.run()
    assert page.table[0].value.values.tolist() == [["role", "user", "admin"]]


def test_a_chain_that_is_whole_and_one_that_is_not(page: AppTest, portal: Portal) -> None:
    page.button(key="audit-verify").click().run()
    assert "are whole" in page.success[0].value
    with portal.database.transaction() as tx:
        second = audit_events.update().where(audit_events.c.seq == 2)
        tx.execute(second.values(action="user.promoted"))
    page.button(key="audit-verify").click().run()
    assert "broken at event 2" in page.error[0].value


def test_older_events_are_a_page_further(portal: Portal, ray: User, page_of: PageOf) -> None:
    with portal.database.transaction() as tx:
        for number in range(250):
            db.audit.append(tx, portal.now(), "worker", "vm.added", f"vm:vm-{number}")
    page = page_of(ray, "audit")
    page.selectbox(key="audit-kind").select("vm").run()
    assert page.dataframe[0].value["About"][0] == "vm vm-249"
    page.button(key="audit-older").click().run()
    assert page.dataframe[0].value["About"][0] == "vm vm-49"
    page.button(key="audit-newer").click().run()
    assert page.dataframe[0].value["About"][0] == "vm vm-249"


def test_they_are_found_by_what_they_are_about_and_by_days(page: AppTest, portal: Portal) -> None:
    page.text_input(key="audit-subject").input(f"user:{JANE.subject}").run()
    assert whats(page)[:2] == ["user.enabled", "user.disabled"]
    page.segmented_control(key="audit-period").select("Days").run()
    today = portal.now().date()
    page.date_input(key="audit-days").set_value((today, today)).run()
    assert "user.disabled" in whats(page)
    yesterday = today - timedelta(days=1)
    page.date_input(key="audit-days").set_value((yesterday, yesterday)).run()
    assert "No event fits" in texts(page)
