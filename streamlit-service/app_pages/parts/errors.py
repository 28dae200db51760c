"""Errors on pages: what happened, why, what to do next, and a reference; never a traceback."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec

import streamlit as st
import structlog
from portal.core.errors import PortalError
from portal.users import consent
from wording import literal

from app_pages.parts import session

log = structlog.get_logger()
P = ParamSpec("P")
OF_THE_PORTAL = 500
"""From this status on it is not what somebody asked that was wrong."""


def show(error: PortalError) -> None:
    """In the place of what cannot be shown."""
    where = f"Error code: {error.code}, reference {_reference(error)}."
    if error.status >= OF_THE_PORTAL:
        where += f" If this keeps happening, give {_contact()} both."
    st.error(
        f"**{literal(error.message)}**  \n{literal(error.hint)}  \n:small[{where}]",
        icon=":material/error:",
    )


@contextmanager
def shown() -> Iterator[None]:
    """What goes wrong within is shown in its place. Streamlit's own ways to end a run pass."""
    try:
        yield
    except PortalError as error:
        if error.code == consent.NEEDED:  # the notice stands before the whole page
            st.rerun()
        show(error)
    except Exception as error:  # a fault of the portal's: Streamlit would offer to ask strangers
        show(of_fault(error))


def told(part: Callable[P, None]) -> Callable[P, None]:
    """A fragment or dialog that says why it cannot go on: it is renewed without its page."""

    @functools.wraps(part)
    def run(*arguments: P.args, **named: P.kwargs) -> None:
        with shown():
            part(*arguments, **named)

    return run


def of_fault(error: Exception) -> PortalError:
    """How a fault of the portal's own is told; the log has its trace."""
    log.error("unexpected_error", path=st.context.url, exc_info=error)
    return PortalError(
        "internal",
        "The portal could not show this.",
        "Your containers keep running. Reload the page.",
        cause=repr(error),
    )


def _reference(error: PortalError) -> str:
    """What an administrator searches the log for: one for an error, however often it is shown."""
    told_before: dict[tuple[str, ...], str] = st.session_state.setdefault("references", {})
    key = (error.code, error.message, error.cause)
    if key not in told_before:
        told_before[key] = uuid.uuid4().hex[:8]
        log.info(
            "request_refused",
            path=st.context.url,
            code=error.code,
            cause=error.cause,
            reference=told_before[key],
        )
    return told_before[key]


def _contact() -> str:
    try:
        return session.portal().settings.help_contact
    except Exception:  # the settings themselves are refused
        return "your portal administrator"
