"""Texts on their way into spreadsheets, as files or from a page's table."""

from __future__ import annotations

import unicodedata

FORMULAS = ("=", "+", "-", "@", "|", "%", "\t", "\r", "\n")
"""How a text begins that a spreadsheet may run (OWASP, CSV Injection; | and % in old ones)."""


def harmless(text: str) -> str:
    """With an apostrophe before what would be run as a formula, in letters of whatever width."""
    runs = unicodedata.normalize("NFKC", text).lstrip(" ").startswith(FORMULAS)
    return f"'{text}" if runs else text
