"""What frames every page: the header, and how errors look."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec

import streamlit as st
from portal.core.errors import PortalError
from portal.core.people import User

from app_pages.parts import session

# Streamlit leaves 6rem above the first line, which pushes the content of a page off a laptop's
# screen.
STYLE = """<style>
[data-testid="stMainBlockContainer"] { padding-top: 4.25rem; padding-bottom: 3rem; }
/* The accent as text on the dark background would be below 4.5:1; its border shows the choice. */
[data-variant="segmented_control"][data-selected="true"] { color: inherit !important; }
</style>"""


def style() -> None:
    """What the theme has no setting for."""
    st.html(STYLE)


def header(user: User) -> None:
    """Product, environment, and the person as the certificate names them."""
    settings = session.portal().settings
    owner = f"{settings.organisation} · " if settings.organisation else ""
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    ):
        standins = (
            " :orange-badge[:material/science: Stand-ins allowed]"
            if settings.allow_standins
            else ""
        )
        st.markdown(
            f"**{owner}Container Portal** :blue-badge[{settings.environment}]{standins}",
            width="content",
        )
        st.markdown(f":material/id_card: {user.display_name} · {user.role}", width="content")


def show_error(error: PortalError) -> None:
    """What happened, why, and what to do next; never a traceback."""
    contact = session.portal().settings.help_contact
    st.error(
        f"**{error.message}**  \n{error.hint}  \n"
        f":small[Reason: `{error.code}`. If it stays, ask {contact}.]",
        icon=":material/error:",
    )


P = ParamSpec("P")


def told(part: Callable[P, None]) -> Callable[P, None]:
    """A fragment or dialog that says why it cannot go on: it is renewed without its page."""

    @functools.wraps(part)
    def run(*arguments: P.args, **named: P.kwargs) -> None:
        try:
            part(*arguments, **named)
        except PortalError as error:
            show_error(error)

    return run


def carry_out(change: Callable[[], object]) -> None:
    """Do what was asked and show the page anew, or say why not."""
    try:
        change()
    except PortalError as error:
        show_error(error)
    else:
        st.toast("Saved.", icon=":material/check:")
        st.rerun()


def try_to(change: Callable[..., object], *arguments: object) -> None:
    """Run a button's callback; show_problem() shows in the next run what went wrong.

    `change` takes the portal, the person as they are now, and the arguments.
    """
    try:
        change(session.portal(), session.user(), *arguments)
    except PortalError as error:
        st.session_state["problem"] = error


def show_problem() -> None:
    """What a callback could not do, once."""
    problem = st.session_state.pop("problem", None)
    if problem is not None:
        show_error(problem)
