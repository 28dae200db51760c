"""The pages' own front end, built from front/src by npm when the image is built."""

from __future__ import annotations

from pathlib import Path

from streamlit.components import v2 as components
from streamlit.components.v2.types import ComponentRenderer

BUILT = Path(__file__).parents[2] / "front" / "dist"


# Streamlit sends a script's text anew with each page; a browser keeps what lies at an address.
# What does not come is told as Streamlit tells it of its own scripts: head.html sees to it.
LOADER = """
const lost = (error) => {
  dispatchEvent(new Event("vite:preloadError", { cancelable: true }))
  throw error
}
const script = await import(location.origin + "/static/portal/%s").catch(lost)
export default script.default
"""


def component(name: str) -> ComponentRenderer:
    """A component of it: NAME's script draws into the element with the id NAME, in NAME's style."""
    (script,) = BUILT.glob(f"{name}.*.js")
    (style,) = BUILT.glob(f"{name}.*.css")
    return components.component(
        name,
        html=f'<div id="{name}"></div>',
        css=style.read_text(encoding="utf-8"),
        js=LOADER % script.name,
    )
