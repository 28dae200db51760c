"""The pages' own front end, built from front/src by npm when the image is built."""

from __future__ import annotations

from pathlib import Path

from streamlit.components import v2 as components
from streamlit.components.v2.types import ComponentRenderer

BUILT = Path(__file__).parents[2] / "front" / "dist"


def component(name: str) -> ComponentRenderer:
    """A component of it: NAME's script draws into the element with the id NAME, in NAME's style."""
    (script,) = BUILT.glob(f"{name}.*.js")
    (style,) = BUILT.glob(f"{name}.*.css")
    # Streamlit sends a script's text anew with each page; a browser keeps what lies at an address.
    return components.component(
        name,
        html=f'<div id="{name}"></div>',
        css=style.read_text(encoding="utf-8"),
        js=f"const script = await import(location.origin + '/static/portal/{script.name}');\n"
        "export default script.default",
    )
