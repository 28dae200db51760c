"""An order that is half made, kept while its page is away: another page, the page loaded anew.

Streamlit forgets the fields of a page that is left, and everything when the browser loads it anew;
there the browser remembers (front/src/choices.tsx), for as long as its tab is open.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import streamlit as st

FIELDS: dict[str, tuple[type, ...]] = {
    "size": (str,),
    "memory": (int, float),
    "cpus": (int, float),
    "gpus": (int,),
    "gpu-model": (str,),
    "ssh": (bool,),
}
"""Keys of the form's fields, and what they hold."""
_KEPT, _ASKED = "draft", "draft-asked"


def name_key(image: str) -> str:
    """Of the field for the name."""
    return f"name-{image}"


def kept(image: str, taken: Collection[str]) -> dict[str, Any] | None:
    """What the fields hold, or held before their page was left: then they hold it again.

    A name that is `taken` by now is proposed anew.
    """
    state = st.session_state
    now = {key: state[key] for key in FIELDS if key in state}
    if now:
        state[_KEPT] = now | {"image": image, "name": state.get(name_key(image), "")}
    elif _KEPT in state:
        _fill_in(state[_KEPT], taken)
    held: dict[str, Any] | None = state.get(_KEPT)
    return held


def is_asked_for() -> bool:
    """Whether the browser is to say what it remembers: once, when a session begins."""
    first = _ASKED not in st.session_state
    st.session_state[_ASKED] = True
    return first


def take(said: object, taken: Collection[str]) -> None:
    """What the browser remembers, as far as it is what a form may hold."""
    if not isinstance(said, Mapping):
        return
    held = {key: said[key] for key, kinds in FIELDS.items() if type(said.get(key)) in kinds}
    held |= {key: said[key] for key in ("image", "name") if isinstance(said.get(key), str)}
    st.session_state[_KEPT] = held
    _fill_in(held, taken)


def forget() -> None:
    """It is deployed."""
    st.session_state.pop(_KEPT, None)


def _fill_in(held: Mapping[str, Any], taken: Collection[str]) -> None:
    state = st.session_state
    for key in FIELDS.keys() & held.keys():
        state[key] = held[key]
    image, name = held.get("image", ""), held.get("name", "")
    if image:
        state["image"] = image
        if name and name not in taken:
            state[name_key(image)] = name
