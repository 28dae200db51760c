"""What people and cards are called shows as it is, wherever pages understand Markdown."""

from __future__ import annotations

import re

import pytest
from wording import literal


@pytest.mark.parametrize(
    "name",
    [
        "[Renew your card](https://evil.example)",
        ":red[Urgent]",
        ":material/lock: Locked",
        "<b>bold</b>",
        "![x](data:image/png;base64,AA)",
        "*a* _b_ `c` ~~d~~ $e$ # f",
        "a\\[b](c)",
    ],
)
def test_nothing_of_a_name_means_anything(name: str) -> None:
    shown = literal(name)
    left = re.sub(r"\\.", "", shown)
    assert not re.search(r"[\\`*_\[\]<>~$#]|:[A-Za-z]", left)
    assert re.sub(r"\\(.)", r"\1", shown).replace("\u2060", "") == name


def test_no_link_comes_by_itself() -> None:
    assert "://" not in literal("see https://evil.example or HTTP://evil.example")
    assert "www." not in literal("www.evil.example")


def test_a_usual_name_stays_as_it_is_on_one_line() -> None:
    assert literal("O'Brien, Jane-Ann (Jr.)") == "O'Brien, Jane-Ann (Jr.)"
    assert literal("a\n# b") == "a \\# b"
