"""The log of a container: newest at the bottom, follow, search, time stamps, download."""

from __future__ import annotations

import streamlit as st
from portal import deployments
from portal.core.errors import PortalError
from portal.core.models import Deployment
from worker_client import MAX_TAIL

from app_pages.parts import session

TAIL = 1000
HEIGHT = 420
FOLLOW_S = 1.5


@st.dialog("Log", width="large")
def show(deployment: Deployment) -> None:
    st.markdown(f"**{deployment.name}**, the last {TAIL} lines")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        wanted = st.text_input(
            "Search", key="log-search", placeholder="words in a line", width="stretch"
        )
        follow = st.toggle(
            "Follow", value=True, key="log-follow", help="New lines appear automatically."
        )
        stamps = st.toggle("Time stamps", value=False, key="log-stamps")

    @st.fragment(run_every=FOLLOW_S if follow else None)
    def lines() -> None:
        try:
            text = read(deployment.id, TAIL)
        except PortalError as error:
            st.info(f"{error.message} {error.hint}", icon=":material/info:")
            return
        selected = select(text, wanted, stamps=stamps)
        with st.container(height=HEIGHT, border=True, autoscroll=True, key="log-lines"):
            if selected:
                st.code("\n".join(selected), language=None, wrap_lines=True)
            else:
                st.caption(
                    "No line contains these words." if wanted else "Nothing was written yet."
                )

    lines()
    _download(deployment)


def _download(deployment: Deployment) -> None:
    """Offer what one call gives of the log: a plain link, which works while the page is renewed."""
    st.link_button(
        "Download",
        f"/api/v1/deployments/{deployment.id}/logs?tail={MAX_TAIL}&download=true",
        icon=":material/download:",
    )


def read(deployment_id: str, tail: int) -> str:
    """The last lines, each with its time stamp, to who may see them now. Raises PortalError."""
    deployments.get(session.portal(), session.user(), deployment_id)
    return session.worker().logs(deployment_id, tail=tail).decode(errors="replace")


def select(text: str, wanted: str, *, stamps: bool) -> list[str]:
    """Lines that contain the words, with or without their time stamps."""
    lines = [line for line in text.splitlines() if wanted.lower() in line.lower()]
    return lines if stamps else [line.partition(" ")[2] for line in lines]
