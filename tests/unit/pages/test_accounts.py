"""The Users page corrects accounts; who may no longer come in is told so wherever they are."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from app_pages.parts import session
from portal import deployments, users
from portal.context import Portal
from portal.core.errors import NotAuthenticated
from portal.core.models import Deployment
from portal.core.people import User
from streamlit.testing.v1 import AppTest
from support.apptest import texts
from support.samples import JANE

PageOf = Callable[[User, str], AppTest]


def test_an_administrator_retires_restores_and_renames(
    portal: Portal, jane: User, ray: User, running: Deployment, page_of: PageOf
) -> None:
    page = page_of(ray, "people")
    page.selectbox(key="account").select(jane.subject).run()
    page.button(key="retire").click().run()
    assert not page.exception
    assert "their containers are removed" in texts(page)
    deployments.retire(portal, ray, jane.subject, "left the organisation")  # as its button does
    page = page_of(ray, "people")
    users_now = [row["User"] for row in page.dataframe[0].value.to_dict("records")]
    assert "Jane Q Doe (retired)" in users_now
    [account] = [box for box in page.selectbox if box.key == "account"]
    assert any("retired: left the organisation" in option for option in account.options)
    page.selectbox(key="account").select(jane.subject).run()
    page.button(key="restore").click().run()
    assert not page.exception
    users.set_group(portal, ray, jane.subject, "vision")
    page = page_of(ray, "groups")
    page.text_input(key="new-group").input("perception").run()
    page.button(key="rename-group").click().run()
    assert users.user_of(portal, JANE).group == "perception"


def test_an_account_that_was_taken_for_another_comes_apart_again(
    portal: Portal, jane: User, ray: User, page_of: PageOf
) -> None:
    page = page_of(ray, "people")
    page.selectbox(key="account").select(jane.subject).run()
    assert not [button for button in page.button if button.key == "unmerge"]
    users.merge(portal, ray, jane.subject, "upn:jane.smith@example.org")
    page = page_of(ray, "people")
    page.selectbox(key="account").select(jane.subject).run()
    page.button(key="unmerge").click().run()
    assert not page.exception
    assert "is no longer **Jane Q Doe**" in texts(page)
    assert page.selectbox(key="no-longer").options == ["upn:jane.smith@example.org"]


def test_a_card_that_is_revoked_while_the_page_is_open_does_nothing_more(
    portal: Portal,
    jane: User,
    page_of: PageOf,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = page_of(jane, "deploy")

    def revoked() -> User:
        raise NotAuthenticated("revoked", "Your certificate was revoked.", "Use your new card.")

    monkeypatch.setattr(session, "sign_in", revoked)
    page.button(key="deploy").click().run()
    assert not page.exception
    assert "Your certificate was revoked." in texts(page)
    assert deployments.mine(portal, jane) == []


def test_an_administrator_keeps_somebody_out_and_lets_them_in_again(
    portal: Portal, jane: User, ray: User, running: Deployment, page_of: PageOf
) -> None:
    page = page_of(ray, "people")
    page.selectbox(key="account").select(jane.subject).run()
    for key, said in (
        ("end-sessions", "they may sign in again at once"),
        ("cards", "have its authority revoke it"),
        ("disable", "out within seconds"),
    ):
        page.button(key=key).click().run()
        assert not page.exception
        assert said in texts(page)
    deployments.disable(portal, ray, jane.subject, "lost her card")  # as the dialog's button does
    page = page_of(ray, "people")
    assert "Jane Q Doe (disabled)" in [
        row["User"] for row in page.dataframe[0].value.to_dict("records")
    ]
    page.selectbox(key="account").select(jane.subject).run()
    assert not [button for button in page.button if button.key in ("disable", "end-sessions")]
    page.button(key="enable").click().run()
    assert not page.exception
    assert users.user_of(portal, JANE).disabled_at is None
