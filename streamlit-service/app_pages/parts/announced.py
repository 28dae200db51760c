"""What administrators tell people, below the bar of every page."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
import wording
from portal import announcements
from portal.announcements import Announcement, Level
from portal.core.people import User

from app_pages.parts import session

LOOK_AGAIN_S = 10.0
PUT_AWAY = "announcements-put-away"
ICONS = {
    Level.INFO: ":material/campaign:",
    Level.WARNING: ":material/warning:",
    Level.URGENT: ":material/priority_high:",
}


def show(user: User) -> None:
    """All that this person has not put away; urgent ones stay."""
    away: set[int] = st.session_state.setdefault(PUT_AWAY, set())
    for told in _told(user.id, user):
        if told.id not in away:
            _show(told, away)


def _show(told: Announcement, away: set[int]) -> None:
    say = {Level.INFO: st.info, Level.WARNING: st.warning, Level.URGENT: st.error}[told.level]
    if told.level is Level.URGENT:
        say(wording.literal(told.text), icon=ICONS[told.level])
        return
    with st.container(horizontal=True, vertical_alignment="center", key=f"announced-{told.id}"):
        say(wording.literal(told.text), icon=ICONS[told.level])
        if st.button("Put away", key=f"put-away-{told.id}", type="tertiary"):
            away.add(told.id)
            st.rerun()


@st.cache_data(ttl=LOOK_AGAIN_S, show_spinner=False)
def _told(user_id: int, _user: User) -> Sequence[Announcement]:  # noqa: ARG001  (the cache's key)
    return announcements.shown_to(session.portal(), _user)
