"""What is new in a log that somebody follows, whatever clocks did."""

from __future__ import annotations

import pytest
from engine import log

FIRST, SECOND, BEFORE = (
    f"{at}.000000001Z some words\n".encode()
    for at in ("2026-01-05T09:00:00", "2026-01-05T09:00:01", "2026-01-05T08:00:00")
)


@pytest.mark.parametrize(
    ("lines", "new"),
    [
        ([FIRST, SECOND], [SECOND]),
        ([FIRST], []),
        ([SECOND, FIRST, BEFORE], [BEFORE]),  # set back: the place tells
        ([BEFORE, SECOND], [SECOND]),  # the line itself is cut off
        ([BEFORE], [BEFORE]),  # and the clock was set back, too
        ([], []),
    ],
)
def test_what_came_after_a_line(lines: list[bytes], new: list[bytes]) -> None:
    assert log.after(lines, log.stamp_of(FIRST)) == new
