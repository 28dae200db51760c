"""The notice that people accept before they see anything else."""

from __future__ import annotations

import streamlit as st
import wording
from auth import origin_of
from portal import users
from portal.core.errors import Conflict
from portal.users import consent

from app_pages.parts import bar, session


def show() -> None:
    """The text, and the one way on."""
    portal, card = session.portal(), session.card()
    wanted = consent.notice(portal)
    if wanted is None:
        st.rerun()
        return
    with st.container(key="prose"):
        st.subheader(f"Before you use the {bar.PRODUCT}")
        with st.container(border=True):
            for paragraph in wanted.text.split("\n\n"):
                st.markdown("  \n".join(map(wording.literal, paragraph.splitlines())))
        st.caption(
            f"Your answer is recorded with your name and certificate. If you do not accept, close"
            f" this page. Questions: {portal.settings.help_contact}."
        )
        if not st.button("I accept", type="primary", key=f"accept-{wanted.hash}"):
            return
        origin = origin_of(session.request_headers())
        try:
            consent.accept(portal, users.user_of(portal, card, origin), card, wanted.hash, origin)
        except Conflict as changed:
            st.warning(f"{changed.message} {changed.hint}", icon=":material/info:")
            return
        st.rerun()
