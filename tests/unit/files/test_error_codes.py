"""The list of error codes is closed, and the guide's table is made from it."""

from __future__ import annotations

import error_codes
from portal.core.error_codes import CODES


def test_every_code_that_is_raised_is_listed_and_every_listed_code_is_raised() -> None:
    assert set(error_codes.raised()) == set(CODES)


def test_the_table_in_the_guides_is_the_list() -> None:
    assert error_codes.PAGE.read_text(encoding="utf-8") == error_codes.table()
