"""Announcements stand on every page until they are put away; All containers is narrowed down."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import streamlit as st
from portal import announcements, deployments
from portal.announcements import Level
from portal.context import Portal
from portal.core.models import Deployment, Order
from portal.core.people import User
from streamlit.testing.v1 import AppTest
from support.apptest import texts
from support.fakes import FakeClock
from support.samples import TEST

PageOf = Callable[[User, str], AppTest]


def test_what_is_announced_is_read_on_every_page_and_put_away(
    portal: Portal, jane: User, page_of: PageOf
) -> None:
    announcements.add(portal, TEST, "[Click](https://evil.example) on Friday.")
    announcements.add(portal, TEST, "The power is cut!", Level.URGENT)
    for name in ("containers", "deploy", "usage"):
        page = page_of(jane, name)
        assert page.error[0].value == "The power is cut!"
        assert page.info[0].value.startswith(r"\[Click\]")
    page.button(key="put-away-1").click().run()
    assert "Click" not in texts(page)
    assert "The power is cut!" in texts(page)


def test_an_administrator_announces_and_ends(portal: Portal, ray: User, page_of: PageOf) -> None:
    page = page_of(ray, "announcements")
    assert "Nothing is announced" in texts(page)
    page.text_area(key="announce-text").input("On Friday.")
    page.selectbox(key="announce-level").select(Level.WARNING)
    [button] = [each for each in page.button if each.label == "Announce"]
    button.click().run()
    assert not page.exception
    [told] = announcements.planned(portal, ray)
    assert (told.text, told.level, told.audience) == ("On Friday.", "warning", "everybody")
    assert told.ends_at - told.begins_at == timedelta(days=7)
    page.button(key="end-announcement").click().run()
    assert announcements.planned(portal, ray) == []


@pytest.fixture
def two(portal: Portal, jane: User, john: User, running: Deployment) -> None:
    """Jane's, which runs, and John's, which begins."""
    deployments.request(portal, john, Order("ml-cpu", "his", memory_gb=0.5, cpus=0.1))


def names(page: AppTest) -> list[str]:
    return list(page.dataframe[0].value["Container"])


@pytest.mark.usefixtures("two")
def test_all_containers_are_narrowed_down_by_person_state_and_idleness(
    portal: Portal, ray: User, page_of: PageOf, clock: FakeClock
) -> None:
    clock.forward(2 * 3600)
    page = page_of(ray, "all_containers")
    assert len(names(page)) == 2
    page.multiselect(key="only-user").select("John A Roe").run()
    assert names(page) == ["his"]
    page.selectbox(key="only-idle").select("1 hour").run()
    assert "No container fits" in texts(page)
    page.multiselect(key="only-user").unselect("John A Roe").run()
    assert names(page) == ["first"]
    assert list(page.dataframe[0].value["Idle (h)"]) == [2.0]
    page.selectbox(key="only-idle").select("8 hours").run()
    assert "No container fits" in texts(page)


def test_a_page_of_ten_thousand_containers_is_made_in_time(
    ray: User, page_of: PageOf, running: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployments, "everybody", lambda *_, **__: [running] * 10_000)
    st.cache_data.clear()
    page = page_of(ray, "all_containers")
    assert not page.exception
    assert len(names(page)) == 10_000
