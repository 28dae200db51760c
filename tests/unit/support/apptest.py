"""The app in Streamlit's AppTest."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest
from support.paths import SERVICE

APP = str(SERVICE / "app.py")


def texts(page: AppTest) -> str:
    """Everything written on the page."""
    parts = [*page.markdown, *page.caption, *page.info, *page.warning, *page.error, *page.subheader]
    return "\n".join(str(part.value) for part in parts)
