"""The guides as pages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from app_pages.parts import session
from portal.context import Portal
from portal.core.people import User
from streamlit.testing.v1 import AppTest
from support.apptest import texts

PageOf = Callable[[User, str], AppTest]
TEXT = """# Guide

<!-- runs
these -->
See [there](#there), [errors](ERROR_CODES.md#x), [a script](../scripts/setup-vm.sh) and [a page](https://x.y).

### <a id="there"></a>A heading with a name

![A picture](../secret.png)

The end.
"""


@pytest.fixture
def guides(portal: Portal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    settings = portal.settings.model_copy(update={"guides_dir": folder})
    monkeypatch.setattr(session, "portal", lambda: replace(portal, settings=settings))
    return folder


def test_a_guide_is_shown_with_its_names_and_without_its_remarks(
    ray: User, guides: Path, page_of: PageOf
) -> None:
    (guides / "USER_GUIDE.md").write_text(TEXT)
    (guides / "ERROR_CODES.md").write_text("# Codes")
    (guides.parent / "secret.png").write_bytes(b"not a picture of the guide")
    page = page_of(ray, "guide")
    assert not page.exception
    text = texts(page)
    assert "runs" not in text
    assert "<a id" not in text
    assert [heading.anchor for heading in page.subheader] == ["there"]
    assert "[there](#there), [errors](/guide?of=ERROR_CODES#x), a script and [a page](https" in text
    assert "bm90IGEg" not in text  # what lies outside of the folder
    assert "The end." in text


def test_a_data_scientist_is_shown_their_guide_alone(
    jane: User, guides: Path, page_of: PageOf
) -> None:
    for name in ("USER_GUIDE", "ADMIN_GUIDE"):
        (guides / f"{name}.md").write_text(f"# {name}")
    assert "ADMIN_GUIDE" not in texts(page_of(jane, "guide"))


def test_where_no_guide_lies_somebody_is_named(jane: User, guides: Path, page_of: PageOf) -> None:
    assert "The guides are not installed." in texts(page_of(jane, "guide"))
