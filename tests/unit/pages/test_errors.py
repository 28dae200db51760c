"""What a page says when it cannot be shown."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from app_pages.parts import errors, session
from portal import images
from portal.context import Portal
from portal.core.errors import Unavailable
from portal.core.people import User
from streamlit.testing.v1 import AppTest
from structlog.testing import capture_logs
from support.apptest import APP

OF_FAULT = errors.of_fault
"""As the product has it: here tests replace it."""


def _broken(problem: Exception) -> Callable[..., object]:
    def fails(*_arguments: object) -> object:
        raise problem

    return fails


def test_a_fault_is_a_sentence_with_a_reference_that_the_log_has(
    page_of: Callable[[User, str], AppTest], ray: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errors, "of_fault", OF_FAULT)
    monkeypatch.setattr(images, "all_releases", _broken(KeyError("none of anybody's business")))
    with capture_logs() as logs:
        page = page_of(ray, "images")
    [error] = page.error
    assert not page.exception
    assert error.value.startswith("**The portal could not show this.**")
    assert "business" not in error.value
    [refused] = [line for line in logs if line["event"] == "request_refused"]
    assert f"reference {refused['reference']}" in error.value
    assert [line["log_level"] for line in logs if line["event"] == "unexpected_error"] == ["error"]


def test_a_refusal_keeps_its_reference_while_it_is_shown_again(
    page_of: Callable[[User, str], AppTest], ray: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = Unavailable("busy", "The database is busy.", "Try again.", "locked")
    monkeypatch.setattr(images, "all_releases", _broken(busy))
    page = page_of(ray, "images")
    first = page.error[0].value
    assert page.run().error[0].value == first


def test_settings_that_are_refused_show_no_trace(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errors, "of_fault", OF_FAULT)
    monkeypatch.setattr(session, "_wired", _broken(ValueError("PORTAL_PUBLIC_PORT")))
    with capture_logs() as logs:
        page = AppTest.from_file(APP, default_timeout=20).run()
    assert "give your portal administrator both" in page.error[0].value
    assert "PORTAL_PUBLIC_PORT" in json.dumps([repr(line) for line in logs])
