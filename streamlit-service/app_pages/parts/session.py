"""What every page needs of this session: the wired product, the person, the other pages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

import bootstrap
import streamlit as st
import structlog
import wording
from auth import Authenticator, note_refusal, origin_of
from portal import users
from portal.audit.refusals import Refusals
from portal.context import Portal
from portal.core.errors import PortalError
from portal.core.people import Identity, User
from portal.users import consent, service_accounts
from streamlit.navigation.page import StreamlitPage


@st.cache_resource
def _refusals() -> Refusals:
    refusals = Refusals(portal(), "page")
    refusals.follow()
    return refusals


@st.cache_resource
def _wired() -> tuple[Portal, Authenticator]:
    bootstrap.configure_logging()
    settings = bootstrap.settings()
    authenticator = bootstrap.authenticator(settings)
    return bootstrap.portal(settings, cards=authenticator.cards), authenticator


def portal() -> Portal:
    """The product."""
    return _wired()[0]


def request_headers() -> Mapping[str, str]:
    """The headers nginx sent with this session's connection."""
    return st.context.headers


def sign_in() -> User:
    """The person whose certificate this is, verified now. Raises PortalError."""
    structlog.contextvars.clear_contextvars()  # Streamlit's threads serve one session after another
    structlog.contextvars.bind_contextvars(request_id=request_headers().get("X-Request-Id", ""))
    identity: Identity | None = None
    try:
        identity = card()
        return _user_of(identity)
    except PortalError as error:
        note_refusal(_refusals(), error, request_headers(), identity)
        raise


def _user_of(identity: Identity) -> User:
    if "last_visit" not in st.session_state:  # before this one is noted
        st.session_state["last_visit"] = users.last_visit(portal(), identity.subject)
    user = users.user_of(portal(), identity, origin_of(request_headers()))
    service_accounts.check_person(user)
    users.check_session(portal(), user, began())
    consent.check(portal(), user, identity)
    return user


def began() -> datetime:
    """When this session was first looked at."""
    at: datetime = st.session_state.setdefault("session_began", portal().now())
    return at


def last_visit() -> tuple[datetime, str] | None:
    """When the person was here before this session, and from where; None at the first time."""
    seen: tuple[datetime, str] | None = st.session_state.get("last_visit")
    return seen


def card() -> Identity:
    """The certificate of this session, verified now. Raises PortalError."""
    return _wired()[1].authenticate(request_headers())


def user() -> User:
    """Who acts: as sign_in(), since a page may have been open for hours. Raises PortalError.

    Each fragment's refresh, each button's callback asks anew: who may no longer come in is out.
    """
    return sign_in()


def remember_pages(**pages: StreamlitPage) -> None:
    """Let pages link to each other."""
    st.session_state["pages"] = pages


def go_to(name: str) -> None:
    """Switch to a page."""
    st.switch_page(st.session_state["pages"][name])


def zone() -> ZoneInfo:
    """The viewer's time zone, as the browser says; UTC when it does not, or names none."""
    return wording.zone(st.context.timezone)
