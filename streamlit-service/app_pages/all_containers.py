"""All containers: everybody's, and an administrator's way to free what one of them holds."""

from __future__ import annotations

from functools import partial

import streamlit as st
from portal import deployments

from app_pages.parts import others, session


def page() -> None:
    st.subheader("All containers")
    portal, me = session.portal(), session.user()
    stopped = st.toggle("Show stopped containers", key="with-stopped")
    everybodys = deployments.everybody(portal, me, stopped=stopped)
    if not everybodys:
        st.info(
            "There are no containers now. Everybody's running and waiting containers appear here.",
            icon=":material/deployed_code:",
        )
        return
    others.show(
        everybodys,
        "all",
        partial(deployments.stop, portal, me),
        "The VM is being serviced on Friday",
    )


page()
