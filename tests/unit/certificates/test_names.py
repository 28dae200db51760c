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


@pytest.mark.parametrize(
    ("common_name", "shown"),
    [
        ("DOE.JOHN.V.9876543210", "John V Doe"),
        ("DOE.JOHN.Q.V.9876543210", "John Q Doe V"),
        ("DOE.JOHN.IX.9876543210", "John Doe IX"),
        ("DOE.JOHN.Q.JR.9876543210", "John Q Doe Jr"),
    ],
)
def test_a_letter_after_the_first_name_is_a_middle_name(common_name: str, shown: str) -> None:
    cac = names.cac_name(common_name)
    assert cac is not None and cac.display_name == shown
