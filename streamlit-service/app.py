"""Streamlit entry: authenticate, choose the pages by role, run the one that was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import streamlit as st
from app_pages.parts import announced, bar, errors, first_run, frame, notice, session
from portal import deployments
from portal.core.errors import Forbidden
from portal.core.people import Role, User
from portal.users import consent, permissions
from streamlit.navigation.page import StreamlitPage

ICON = Path(__file__).parent / "icon.png"  # Streamlit would fetch a named icon from the internet


PERSON = ""
"""The group of what the person's menu leads to."""


@dataclass(frozen=True)
class Place:
    """A page: its file, how the bar shows it, its address, and for whom it is.

    `administrators`: and for auditors, who change nothing there. `leads`: also for who leads a
    group. `works`: for who may have containers.
    """

    group: str
    file: str
    title: str
    icon: str
    address: str
    administrators: bool = False
    leads: bool = False
    works: bool = False


PLACES = (
    Place("Work", "containers", "Containers", "deployed_code", "containers", works=True),
    Place("Work", "deploy", "Deploy", "rocket_launch", "deploy", works=True),
    Place("Work", "gpus", "GPUs", "memory", "gpus"),
    Place("Work", "usage", "Usage", "monitoring", "usage"),
    Place("Work", "keys", "SSH keys", "key", "keys", works=True),
    Place("Catalogue", "images", "Images", "inventory_2", "images"),
    Place("Operate", "vms", "VMs", "dns", "vms", administrators=True),
    Place("Operate", "all_containers", "All containers", "apps", "all", administrators=True),
    Place("Operate", "people", "Users", "person", "users", administrators=True),
    Place("Operate", "groups", "Groups", "groups", "groups", leads=True),
    Place(
        "Operate",
        "announcements",
        "Announcements",
        "campaign",
        "announcements",
        administrators=True,
    ),
    Place("Operate", "health", "Health", "monitor_heart", "health", administrators=True),
    Place("Operate", "audit", "Audit", "policy", "audit", administrators=True),
    Place(PERSON, "guide", "Guide", "menu_book", "guide"),
)


def main() -> None:
    """One run of the script: Streamlit calls this file again at every interaction."""
    st.set_page_config(bar.PRODUCT, ICON, layout="wide")
    frame.style()
    with errors.shown():
        frame.classification()
        try:
            _run()
        except Forbidden as error:
            if error.code != consent.NEEDED:
                raise
            _before_everything()


def _before_everything() -> None:
    """The notice, at whatever address was asked for: who accepts it is there."""
    places = [st.Page(notice.show, title=place.title, url_path=place.address) for place in PLACES]
    home = st.Page(notice.show, title=bar.PRODUCT, default=True)
    st.navigation([home, *places], position="hidden").run()


def _run() -> None:
    user = session.sign_in()
    pages = {place.address: _page(place, user) for place in PLACES}
    session.remember_pages(**pages)
    # Streamlit gives its default page no address of its own: with this one, every page can be a
    # bookmark.
    home = st.Page(_home, title=bar.PRODUCT, default=True, visibility="hidden")
    page = st.navigation([home, *pages.values()], position="hidden")
    st.set_page_config(f"{page.title} · {bar.PRODUCT}" if page is not home else bar.PRODUCT)
    with errors.shown():
        chosen = bar.show(user, _groups(pages, user), page)
        if chosen in pages:
            st.switch_page(pages[chosen])
        announced.show(user)
        frame.show_problem()
    with errors.shown():
        page.run()


def _may_see(place: Place, user: User) -> bool:
    if place.works:
        return user.role is not Role.AUDITOR
    if permissions.reads_all(user) or not (place.administrators or place.leads):
        return True
    return place.leads and bool(user.leads)


def _page(place: Place, user: User) -> StreamlitPage:
    """The page; for whom it is not for, one at its address that says so."""
    shown = f"app_pages/{place.file}.py" if _may_see(place, user) else partial(_not_for, place)
    return st.Page(
        shown, title=place.title, icon=f":material/{place.icon}:", url_path=place.address
    )


def _groups(pages: dict[str, StreamlitPage], user: User) -> dict[str, list[StreamlitPage]]:
    groups: dict[str, list[StreamlitPage]] = {}
    for place in PLACES:
        if _may_see(place, user) and place.group != PERSON:
            groups.setdefault(place.group, []).append(pages[place.address])
    return groups


def _home() -> None:
    """Where somebody goes who named no page: on with the work, or to the first container.

    An administrator sees first what people need before they can work.
    """
    user = session.user()
    if user.role is Role.ADMIN and not all(item.done for item in first_run.items(user)):
        first_run.show()
        return
    if user.role is Role.AUDITOR:
        session.go_to("audit")
    session.go_to("containers" if deployments.mine(session.portal(), user) else "deploy")


def _not_for(place: Place) -> None:
    whom = "administrators and auditors"
    if place.leads:
        whom = "those who lead a group"
    if place.works:
        whom = "those who have containers, which auditors do not"
    bar.not_for(place.title, whom, session.user())


main()
