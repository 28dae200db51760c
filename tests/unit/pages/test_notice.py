"""The notice stands before every page, and only once it is accepted comes the page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from app_pages.parts import session
from portal import users
from portal.context import Portal
from portal.core.people import User
from portal.users import consent
from streamlit.testing.v1 import AppTest
from support.apptest import texts
from support.samples import JANE


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "notice.txt"
    file.write_text("It is *watched*.\n\n[Evil](https://evil.example)", encoding="utf-8")
    return file


@pytest.fixture
def page(
    portal: Portal,
    jane: User,
    page_of: Callable[[User, str], AppTest],
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AppTest:
    monkeypatch.setattr(consent, "LOOK_EVERY_S", 0.0)
    settings = portal.settings.model_copy(update={"consent_file": file})
    asking = replace(portal, settings=settings)
    page_of(jane, "")
    monkeypatch.setattr(session, "_wired", lambda: (asking, None))

    def sign_in() -> User:
        user = users.user_of(asking, JANE)
        consent.check(asking, user, JANE)
        return user

    monkeypatch.setattr(session, "sign_in", sign_in)
    return AppTest.from_file(str(Path(session.__file__).parents[2] / "app.py")).run()


def test_nothing_else_is_shown_before(page: AppTest) -> None:
    assert not page.exception
    assert not page.get("bidi_component")
    assert [button.label for button in page.button] == ["I accept"]
    assert r"It is \*watched\*" in texts(page)
    assert r"\[Evil\]" in texts(page)


def test_who_accepts_goes_on(page: AppTest) -> None:
    page.button[0].click().run()
    assert not page.exception
    assert page.get("bidi_component")
    assert "watched" not in texts(page)


def test_nobody_accepts_what_they_were_not_shown(page: AppTest, file: Path) -> None:
    file.write_text("Other words.", encoding="utf-8")
    page.button[0].click().run()
    assert not page.get("bidi_component")
    assert "Other words" in texts(page)
    page.button[0].click().run()
    assert page.get("bidi_component")
