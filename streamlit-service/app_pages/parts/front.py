"""The pages' own front end, built from front/src by npm when the image is built."""

from __future__ import annotations

from pathlib import Path

from streamlit.components import v2 as components
from streamlit.components.v2.types import ComponentRenderer

BUILT = Path(__file__).parents[2] / "front" / "dist"


def component(name: str) -> ComponentRenderer:
    """A component of it: NAME.js draws into the element with the id NAME, styled by NAME.css."""
    return components.component(
        name,
        html=f'<div id="{name}"></div>',
        css=(BUILT / f"{name}.css").read_text(encoding="utf-8"),
        js=(BUILT / f"{name}.js").read_text(encoding="utf-8"),
    )
