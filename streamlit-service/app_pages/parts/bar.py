"""The bar above every page: navigation in groups, quota, the person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st
from board import quota
from portal import images, vms
from portal.core.people import Role, User
from portal.monitoring import looks
from portal.scheduling import quotas
from portal.users import permissions
from portal.vms import gpus
from portal.vms import health as vm_health
from streamlit.navigation.page import StreamlitPage
from wording import literal

from app_pages.parts import front, session

PRODUCT = "Container Portal"
LOOK_AGAIN_S = 10.0
"""Counts of what is wrong may be so old."""
ROLES = {
    Role.USER: "data scientist",
    Role.CURATOR: "image curator",
    Role.AUDITOR: "auditor",
    Role.ADMIN: "administrator",
}
Groups = Mapping[str, Sequence[StreamlitPage]]
_bar = front.component("bar")


def show(user: User, groups: Groups, here: StreamlitPage) -> str:
    """Draw it. The address of the page that was chosen in it, once; "" for none."""
    settings, seen = session.portal().settings, session.last_visit()
    # Not in a callback: while a page leads on to another, Streamlit may know of no bar then.
    drawn: Any = _bar(
        key="bar",
        on_go_change=lambda: None,
        data={
            "product": PRODUCT,
            "organisation": settings.organisation,
            "environment": settings.environment,
            "standins": settings.allow_standins,
            "here": here.url_path,
            "groups": [
                {"label": label, "places": [_place(page, here, user) for page in pages]}
                for label, pages in groups.items()
                if pages
            ],
            "quota": _quota(user),
            "began": session.began().isoformat(),
            "idle_minutes": (
                settings.idle_admin_minutes
                if permissions.reads_all(user)
                else settings.idle_minutes
            ),
            "person": {
                "name": user.display_name,
                "role": ROLES[user.role],
                "last_visit": seen[0].isoformat() if seen else "",
                "last_address": seen[1] if seen else "",
                "certificate_ends": session.card().not_after.isoformat(),
                "help": settings.help_contact,
            },
        },
    )
    return str(drawn.get("go") or "")


def _place(page: StreamlitPage, here: StreamlitPage, user: User) -> dict[str, Any]:
    return {
        "key": page.url_path,
        "title": page.title,
        "icon": page.icon.removeprefix(":material/").removesuffix(":"),
        "here": page.url_path == here.url_path,
        "wrong": _wrong(page.url_path, user),
    }


def _wrong(address: str, user: User) -> int:
    """How much waits there for somebody like this user."""
    if address == "vms" and permissions.reads_all(user):
        return _vms_with_problems(user)
    if address == "health" and permissions.reads_all(user):
        return _findings(user.id, user)
    if address == "images" and permissions.sees_catalogue(user):
        return _releases_to_look_at(user)
    return 0


def _quota(user: User) -> list[dict[str, Any]]:
    if user.role is Role.AUDITOR:
        return []
    own, _ = quotas.allowances(session.portal(), user)
    exist = gpus.exist(session.portal())
    return [vars(share) for share in quota(own, gpus_exist=exist)]


@st.cache_data(ttl=LOOK_AGAIN_S, show_spinner=False)
def _vms_with_problems(_admin: User) -> int:
    portal = session.portal()
    now = portal.now()
    fleet = [use.vm for use in vms.fleet(portal, _admin)]
    return sum(
        not vm.reachable or bool(vm.gpu_problem) or bool(vm_health.of_vm(vm, now)) for vm in fleet
    )


@st.cache_data(ttl=LOOK_AGAIN_S, show_spinner=False)
def _findings(user_id: int, _reader: User) -> int:  # noqa: ARG001  (the cache's key)
    return len(looks.last(session.portal(), _reader).wrong)


@st.cache_data(ttl=LOOK_AGAIN_S, show_spinner=False)
def _releases_to_look_at(_curator: User) -> int:
    return len(images.attention(session.portal(), _curator))


def not_for(title: str, whom: str, user: User) -> None:
    """In the place of a page that somebody may not see."""
    st.info(
        f"**The {title} page is for {whom}.** You are signed in as"
        f" {literal(user.display_name)}, {ROLES[user.role]}.",
        icon=":material/lock:",
    )
