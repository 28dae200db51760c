"""Streamlit entry: authenticate, choose the pages by role, run the one that was asked for."""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from app_pages.parts import bar, frame, session
from portal import deployments
from portal.core.errors import PortalError
from portal.core.people import Role

ICON = Path(__file__).parent / "icon.png"  # Streamlit would fetch a named icon from the internet


def _home() -> None:
    """Where somebody goes who named no page: on with the work, or to the first container."""
    session.go_to("containers" if deployments.mine(session.portal(), session.user()) else "deploy")


def main() -> None:
    """One run of the script: Streamlit calls this file again at every interaction."""
    st.set_page_config("Container Portal", ICON, layout="wide")
    frame.style()
    try:
        user = session.sign_in()
    except PortalError as error:
        frame.show_error(error)
        st.stop()
    containers = st.Page(
        "app_pages/containers.py",
        title="Containers",
        icon=":material/deployed_code:",
        url_path="containers",
    )
    deploy = st.Page(
        "app_pages/deploy.py", title="Deploy", icon=":material/rocket_launch:", url_path="deploy"
    )
    gpus = st.Page("app_pages/gpus.py", title="GPUs", icon=":material/memory:", url_path="gpus")
    images = st.Page(
        "app_pages/images.py", title="Images", icon=":material/inventory_2:", url_path="images"
    )
    keys = st.Page("app_pages/keys.py", title="SSH keys", icon=":material/key:", url_path="keys")
    usage = st.Page(
        "app_pages/usage.py", title="Usage", icon=":material/monitoring:", url_path="usage"
    )
    vms = st.Page("app_pages/vms.py", title="VMs", icon=":material/dns:", url_path="vms")
    everybodys = st.Page(
        "app_pages/all_containers.py",
        title="All containers",
        icon=":material/apps:",
        url_path="all",
    )
    people = st.Page(
        "app_pages/people.py", title="Users", icon=":material/group:", url_path="users"
    )
    for_admins = [vms, everybodys, people] if user.role is Role.ADMIN else []
    session.remember_pages(containers=containers, deploy=deploy, images=images)
    # Streamlit gives its default page no address of its own: with this one, every page can be a
    # bookmark.
    home = st.Page(_home, title="Container Portal", default=True, visibility="hidden")
    groups = {
        "Work": [containers, deploy, gpus, usage, keys],
        "Catalogue": [images],
        "Operate": for_admins,
    }
    pages = {page.url_path: page for part in groups.values() for page in part}
    page = st.navigation([home, *pages.values()], position="hidden")
    if chosen := bar.chosen():
        st.switch_page(pages[chosen])
    try:
        bar.show(user, groups, page)
        frame.show_problem()
    except PortalError as error:
        frame.show_error(error)
    try:
        page.run()
    except PortalError as error:
        frame.show_error(error)


main()
