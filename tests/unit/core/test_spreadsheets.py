"""Texts that a spreadsheet would run as formulas are texts there."""

from __future__ import annotations

import pytest
from portal.core.spreadsheets import harmless


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "|calc",
        "%0",
        "\t=1",
        "\r=1",
        "\n=1",
        " =1",
        "\uff1d1",
        "\uff0b1",
    ],
)
def test_what_would_run_does_not(text: str) -> None:
    assert harmless(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "Jane Doe", "1+1", "a=b", "\u2013", "ml-cpu"])
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert harmless(text) == text
