"""At image build: put head.html, our title and preloads into the page that Streamlit serves.

`python3 shell.py`, with the Python that has Streamlit; again it changes nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path

import streamlit

MARK = "<!-- Container Portal -->"
TITLE = "<title>Container Portal</title>"
PRELOADED = ("BidiComponent.*.js",)
"""Scripts that every page needs and Streamlit would ask for only when it meets the first such
element: a line that is cut then would leave the page empty."""


def main() -> None:
    """Raises SystemExit where Streamlit's page is not as this expects it."""
    static = Path(streamlit.__file__).parent / "static"
    page = static / "index.html"
    text = page.read_text(encoding="utf-8")
    if MARK in text:
        return
    links = []
    for pattern in PRELOADED:
        found = list((static / "static" / "js").glob(pattern))
        if len(found) != 1:
            sys.exit(f"Streamlit has {len(found)} scripts {pattern}, not one.")
        links.append(f'<link rel="modulepreload" crossorigin href="./static/js/{found[0].name}">')
    head = (Path(__file__).parent / "head.html").read_text(encoding="utf-8")
    for before, after in (
        ("<head>", "\n".join(("<head>", MARK, head, *links))),
        ("<title>Streamlit</title>", TITLE),
    ):
        if text.count(before) != 1:
            sys.exit(f"Streamlit's page has {text.count(before)} times {before}, not once.")
        text = text.replace(before, after)
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
