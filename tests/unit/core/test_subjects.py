"""What somebody is called, as it counts."""

from __future__ import annotations

import pytest
from portal.core import subjects


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
