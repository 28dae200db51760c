"""My containers: one live component, which the api feeds with changes (board, front/)."""

from __future__ import annotations

from typing import Any

import streamlit as st
from portal import deployments

from app_pages.parts import frame, front, log_dialog, session

_containers = front.component("containers")


def page() -> None:
    """Rows act by the api; only what is another page or a dialog comes here."""
    st.subheader("My containers")
    frame.show_problem()
    result = _containers(key="containers", on_asked_change=lambda: None)
    asked: Any = result.get("asked")
    if not asked:
        return
    what, of = asked
    if what == "logs":
        log_dialog.show(deployments.get(session.portal(), session.user(), of))
    elif what == "deploy":
        if of:
            st.session_state["image"] = of
        session.go_to("deploy")


page()
