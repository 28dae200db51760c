"""PORTAL_SIZES: what an order offers by name."""

from __future__ import annotations

import pytest
from portal.core import sizes
from portal.core.settings import Settings
from portal.core.sizes import Size


def test_a_group_may_have_sizes_of_its_own() -> None:
    lists = sizes.parse(sizes.EXAMPLE)
    assert lists[""][0] == Size("Small", 2, 1)
    assert lists["vision"] == (Size("Notebook", 16, 4), Size("Training", 128, 32))
    assert sizes.of_group(sizes.EXAMPLE, "vision") == lists["vision"]
    assert sizes.of_group(sizes.EXAMPLE, "speech") == sizes.of_group(sizes.EXAMPLE, "") == lists[""]


def test_a_name_may_have_several_words_and_a_group_a_colon() -> None:
    lists = sizes.parse("ai: lab: Very large 64 0.5")
    assert lists["ai: lab"] == (Size("Very large", 64, 0.5),)
    assert [size.name for size in lists[""]] == ["Small", "Medium", "Large"]  # of whom none is said


@pytest.mark.parametrize(
    "text",
    [
        "Small",
        "Small 2",
        "2 1",
        "Small 2 1 Medium 8 4 GB",
        "Small 0 1",
        "Small 0.4 1",
        "Small 2 0.05",
        "Small 2 1,",
        "Small -2 1",
        "Small 2 1, Small 4 2",
        "Custom 2 1",
        ": Small 2 1",
        "a: X 1 1; a: Y 2 2",
    ],
)
def test_what_is_no_list_of_sizes_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"PORTAL_SIZES: .*For example: Small 2 1"):
        Settings(sizes=text)
