"""Names that count, and names that only look like them."""

from __future__ import annotations

import pytest
from certificates import names


@pytest.mark.parametrize("length", [0, 65, 60_000])
def test_a_common_name_is_bounded(length: int) -> None:
    assert not names.is_plain("X" * length, names.MAX_COMMON_NAME)
    assert names.is_plain("X" * 64, names.MAX_COMMON_NAME)


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
    assert names.upn(text) == counts_as
