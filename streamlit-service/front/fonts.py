"""At image build: the page's fonts with what the portal shows alone, a fifth of Streamlit's.

`python3 fonts.py STATIC`, with Streamlit's folder of static files and a Python that has fontTools;
into dist/. Left out are icons that neither we nor Streamlit's scripts name, and letters beyond
Latin: for those of a name the browser loads Streamlit's own font besides.
"""

from __future__ import annotations

import hashlib
import io
import re
import sys
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

FRONT = Path(__file__).parent
OURS = ("*.py", "app_pages/**/*.py", "board/*.py", "wording/*.py", "front/src/*.ts*")
LATIN = "0020-024F,02B0-036F,2000-206F,20A0-20CF,2100-214F,2190-21FF,2200-22FF,25A0-25FF"
"""The same as head.html's unicode-range."""
SPELLED = " abcdefghijklmnopqrstuvwxyz0123456789_"


def main(static: Path, into: Path) -> None:
    """Raises SystemExit where Streamlit's fonts are not as this expects them."""
    font = _only(static, "media/MaterialSymbols-Rounded.*.woff2")
    icons = sorted(_named(static) & set(font.getGlyphOrder()))
    letters = [font.getBestCmap()[ord(letter)] for letter in SPELLED]
    # An icon is the ligature of its name's letters: only those of these icons stay.
    options = subset.Options(layout_closure=False, layout_features=["*"])
    _save(font, into, "icons", options, glyphs=[*letters, *icons])

    font = _only(static, "media/SourceSansVF-Upright.*.woff2")
    # Its licence (OFL 1.1, condition 3) keeps the name for what is unchanged.
    for record in font["name"].names:
        record.string = record.toUnicode().replace("Source", "Portal")
    _save(font, into, "latin", subset.Options(), unicodes=subset.parse_unicodes(LATIN))


def _only(static: Path, pattern: str) -> TTFont:
    found = list(static.glob(pattern))
    if len(found) != 1:
        sys.exit(f"Streamlit has {len(found)} fonts {pattern}, not one.")
    return TTFont(found[0], recalcTimestamp=False)


def _named(static: Path) -> set[str]:
    """What may be an icon's name: ours in quotes, Streamlit's behind its prefix."""
    names: set[str] = set()
    for pattern in OURS:
        for path in FRONT.parent.glob(pattern):
            names |= set(re.findall(r"""["'/:]([a-z0-9_]+)["':]""", path.read_text()))
    for path in (static / "js").glob("*.js"):
        names |= set(re.findall(r":material/([a-z0-9_]+)", path.read_text()))
    return names


def _save(
    font: TTFont, into: Path, name: str, options: subset.Options, **kept: list[object]
) -> None:
    subsetter = subset.Subsetter(options)
    subsetter.populate(**kept)
    subsetter.subset(font)
    font.flavor = "woff2"
    content = io.BytesIO()
    font.save(content)
    # Browsers keep it for a year: another font has another name.
    digest = hashlib.sha256(content.getvalue()).hexdigest()[:8].upper()
    (into / f"{name}.{digest}.woff2").write_bytes(content.getvalue())


if __name__ == "__main__":
    main(Path(sys.argv[1]), FRONT / "dist")
