"""The app on a page, signed in as somebody."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import streamlit as st
from app_pages.parts import errors, session
from portal import db, users
from portal.context import Portal
from portal.core.errors import PortalError
from portal.core.people import Role, User
from streamlit.testing.v1 import AppTest
from support.apptest import APP
from support.samples import JANE, identity


@pytest.fixture(autouse=True)
def _faults_fail_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a page would tell of in a sentence ends the run of a test."""

    def fails(error: Exception) -> PortalError:
        raise error

    monkeypatch.setattr(errors, "of_fault", fails)


@pytest.fixture
def ray(portal: Portal) -> User:
    return _with_role(portal, Role.ADMIN, "3456789012", "Alex M Ray")


@pytest.fixture
def mei(portal: Portal) -> User:
    return _with_role(portal, Role.CURATOR, "4567890123", "Mei T Lin")


def _with_role(portal: Portal, role: Role, edipi: str, name: str) -> User:
    made = users.user_of(portal, identity(edipi, name))
    with portal.database.transaction() as tx:
        db.users.update(tx, made.id, role=role)
    return users.user_of(portal, identity(edipi, name))


@pytest.fixture
def page_of(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> Callable[[User, str], AppTest]:
    """The app on a page, signed in as somebody; test_pages.py covers certificates."""

    def open_page(user: User, page: str) -> AppTest:
        st.cache_data.clear()  # of the portal of the test before
        monkeypatch.setattr(session, "_wired", lambda: (portal, None))
        monkeypatch.setattr(session, "sign_in", lambda: user)
        monkeypatch.setattr(session, "card", lambda: JANE)
        app = AppTest.from_file(APP, default_timeout=20).run()
        return app.switch_page(f"app_pages/{page}.py").run() if page else app

    return open_page
