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
    ("text", "counts_as"),
    [
        ("Jane.Doe@Corp.Example", "jane.doe@corp.example"),
        ("Zoë@corp.example", "zoë@corp.example"),
        ("ZOË@corp.example", "zoË@corp.example"),
        ("x" * 300 + "@mil", None),
    ],
)
def test_only_ascii_letters_are_folded(text: str, counts_as: str | None) -> None:
    assert subjects.upn(text) == counts_as


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


@pytest.mark.parametrize(
    ("text", "counts_as"),
    [
        ("edipi:1234567890", "edipi:1234567890"),
        (" UPN:Jane@Corp.Example ", "upn:jane@corp.example"),
        (
            "uuid:{F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6}",
            "uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
        ),
        ("fascn:" + "AB" * 25, "fascn:" + "ab" * 25),
    ],
)
def test_a_subject_is_read_as_it_counts(text: str, counts_as: str) -> None:
    assert subjects.parse(text) == counts_as


def test_ten_zeros_are_nobodys_number() -> None:
    assert names.cac_name("DOE.JANE.0000000000") is None
    assert names.cac_name("DOE.JANE.0000000001") is not None
