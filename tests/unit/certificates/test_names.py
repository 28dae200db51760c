"""Names that count, and names that only look like them."""

from __future__ import annotations

import pytest
from certificates import names
from portal.core import subjects


@pytest.mark.parametrize("length", [0, 65, 60_000])
def test_a_common_name_is_bounded(length: int) -> None:
    assert names.readable("X" * length) is None
    assert names.readable("X" * 64) == "X" * 64


@pytest.mark.parametrize(
    "ignorable",
    ["\u034f", "\ufe0f", "\u1160", "\u115f", "\u17b4", "\u180b", "\u180f", "\U000e0100"],
)
def test_what_nobody_sees_makes_no_second_person(ignorable: str) -> None:
    assert subjects.upn(f"jane{ignorable}@corp.example") is None
    assert names.readable(f"Jane{ignorable} Doe") is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Jos\u0065\u0301", "Jos\u00e9"),
        ("Jane\u00a0Doe", "Jane Doe"),
        ("M\u00aa Carmen", "M\u00aa Carmen"),
        ("Jane\nDoe", None),
        ("Jane\u2028Doe", None),
        (" Jane", None),
        ("Jane\u00a0", None),
    ],
)
def test_names_as_people_write_them_are_shown(text: str, shown: str | None) -> None:
    assert names.readable(text) == shown


def test_ten_zeros_are_nobodys_number() -> None:
    assert names.cac_name("DOE.JANE.0000000000") is None
    assert names.cac_name("DOE.JANE.0000000001") is not None
