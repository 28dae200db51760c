"""Tables of pages: they are drawn, so what is in them is found by its place."""

from __future__ import annotations

import re

from playwright.sync_api import Page


def choose_row(page: Page, reads: str | re.Pattern[str]) -> None:
    """Click the box of the first row that reads so."""
    rows = page.locator("canvas tr", has_text=reads)
    number = int(rows.first.get_attribute("aria-rowindex") or 0)
    table = page.get_by_test_id("stDataFrame").filter(has=rows)
    table.click(position={"x": 16, "y": 35 * (number - 0.5)})
