"""At build: Streamlit's page with our title, head.html, and the front end that dist/ holds.

`python3 shell.py`, with the Python that has Streamlit, whenever dist/ changed. Scripts and fonts
lie beside Streamlit's own, so that a browser keeps them, and a page asks for them at once.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import streamlit

FRONT = Path(__file__).parent
PUBLISHED = "static/portal"
EARLY = ("static/js/BidiComponent.*.js", f"{PUBLISHED}/shared.*.js", f"{PUBLISHED}/bar.*.js")
"""Scripts that every page needs and Streamlit would ask for only when it meets the first such
element: a line that is cut then would leave the page empty."""


ALL_ICONS = re.compile(r"@font-face\{font-family:Material Symbols Rounded;[^}]*\}")
"""Streamlit loads every font of this name, though nothing needs it: one has to go. The styles keep
their name: older ones that a browser holds do no harm."""


def main() -> None:
    """Raises SystemExit where Streamlit's page is not as this expects it."""
    static = Path(streamlit.__file__).parent / "static"
    shutil.rmtree(static / PUBLISHED, ignore_errors=True)
    shutil.copytree(FRONT / "dist", static / PUBLISHED)
    page, kept = static / "index.html", static / "index.streamlit.html"
    if "Container Portal" not in page.read_text(encoding="utf-8"):
        shutil.copy(page, kept)
        _without_all_icons(static)
    text = kept.read_text(encoding="utf-8")
    head = (FRONT / "head.html").read_text(encoding="utf-8")
    fonts = {
        name: _published(static, f"{PUBLISHED}/{name}.*.woff2")[0] for name in ("latin", "icons")
    }
    for name, address in fonts.items():
        head = head.replace(f"{name}.woff2", address)
    early = [address for pattern in EARLY for address in _published(static, pattern)]
    head += "".join(f'<link rel="modulepreload" crossorigin href="{each}">\n' for each in early)
    (whole,) = _published(static, "static/media/SourceSansVF-Upright.*.woff2")
    for before, after in (
        ("<title>Streamlit</title>", "<title>Container Portal</title>"),
        (f'href="{whole}"', f'href="{fonts["latin"]}"'),
        ("</head>", f"{head}</head>"),  # after Streamlit's own fonts
    ):
        if text.count(before) != 1:
            sys.exit(f"Streamlit's page has {text.count(before)} times {before}, not once.")
        text = text.replace(before, after)
    page.write_text(text, encoding="utf-8")


def _without_all_icons(static: Path) -> None:
    for path in (static / "static" / "css").glob("index.*.css"):
        text, count = ALL_ICONS.subn("", path.read_text(encoding="utf-8"))
        path.write_text(text, encoding="utf-8")
        if count == 1:
            return
    sys.exit("Streamlit's styles name the icons' font elsewhere.")


def _published(static: Path, pattern: str) -> list[str]:
    """The files' addresses, from the page; at least one."""
    found = sorted(static.glob(pattern))
    if not found:
        sys.exit(f"There is no file {pattern}.")
    return [f"./{path.relative_to(static)}" for path in found]


if __name__ == "__main__":
    main()
