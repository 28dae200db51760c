"""Text that people or cards chose, where pages show Markdown."""

from __future__ import annotations

import re

_MEANS_SOMETHING = re.compile(r"[\\`*_\[\]<>~$#]|:(?=[A-Za-z])")
"""CommonMark 2.4 (backslash escapes), and Streamlit's own: colours, icons, formulas."""
_LINKED = re.compile(r"(?<=:)(?=//)|(?<=\bwww)(?=\.)", re.IGNORECASE)
"""What becomes a link by itself, also escaped (GitHub's Markdown, 6.9)."""
WORD_JOINER = "\u2060"


def literal(text: str) -> str:
    """A text that shows as it is, on one line: no link, colour, picture or heading comes of it."""
    text = _LINKED.sub(WORD_JOINER, " ".join(text.split()))
    return _MEANS_SOMETHING.sub(lambda found: "\\" + found[0], text)
