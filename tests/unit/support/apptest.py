"""The app in Streamlit's AppTest."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest
from support.paths import SERVICE

APP = str(SERVICE / "app.py")


def texts(page: AppTest) -> str:
    """Everything written on the page."""
    parts = [*page.markdown, *page.caption, *page.info, *page.warning, *page.error, *page.subheader]
    told = [str(part.value) for part in parts]
    data = [component.proto.json for component in page.get("bidi_component")]
    return "\n".join([*told, *data])


def with_size(page: AppTest, size: str) -> AppTest:
    """The page of the order, with a size chosen."""
    page.session_state["size"] = size
    return page.run()
