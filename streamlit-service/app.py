"""Streamlit entry: authenticate, choose the pages by role, run the one that was asked for."""

from __future__ import annotations

import streamlit as st
from app_pages import frame, session
from portal import deployments
from portal.errors import PortalError


def main() -> None:
    """One run of the script: Streamlit calls this file again at every interaction."""
    st.set_page_config("Container Portal", ":material/deployed_code:", layout="wide")
    try:
        user = session.sign_in()
    except PortalError as error:
        frame.show_error(error)
        st.stop()
    has_any = bool(deployments.mine(session.portal(), user))
    containers = st.Page("app_pages/containers.py", title="My containers", icon=":material/deployed_code:",
                         url_path="containers", default=has_any)  # fmt: skip
    deploy = st.Page("app_pages/deploy.py", title="Deploy", icon=":material/rocket_launch:",
                     url_path="deploy", default=not has_any)  # fmt: skip
    session.remember_pages(containers=containers, deploy=deploy)
    page = st.navigation([containers, deploy], position="top")
    frame.header(user)
    try:
        page.run()
    except PortalError as error:
        frame.show_error(error)


main()
