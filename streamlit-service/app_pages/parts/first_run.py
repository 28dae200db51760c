"""The first sign-in of an administrator: what an empty portal still needs, ticked as it comes."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st
from portal import deployments, images, users, vms
from portal.core.models import VmState
from portal.core.people import User

from app_pages.parts import errors, session

LOOK_AGAIN_S = 5.0


@dataclass(frozen=True)
class Item:
    """Something to do. `command`: on the portal's machine; `page`: where one sees it done."""

    title: str
    done: bool
    how: str
    command: str
    page: str


def items(admin: User) -> list[Item]:
    """What is to be done before people can work, in that order."""
    portal = session.portal()
    fleet = [use.vm for use in vms.fleet(portal, admin)]
    return [
        Item(
            "A VM",
            any(vm.state is VmState.ACTIVE for vm in fleet),
            "Prepare a machine with Docker, with GPUs or without. It is verified at the end.",
            "scripts/setup-vm.sh HOST",
            "vms",
        ),
        Item(
            "An image",
            bool(images.offered(portal, admin)),
            "Build, scan, sign and publish the first one, and approve it.",
            "docker compose run --rm publisher image publish ml-cpu --approve",
            "images",
        ),
        Item(
            "A user",
            users.others(portal, admin) or bool(deployments.mine(portal, admin)),
            f"Send people the address {portal.settings.public_origin}; they only need their card.",
            "",
            "users",
        ),
    ]


def show() -> None:
    """The list, which looks again by itself."""
    st.subheader("Welcome. Three steps, and people can start working.")
    _list()


@st.fragment(run_every=LOOK_AGAIN_S)
@errors.told
def _list() -> None:
    for number, item in enumerate(items(session.user()), 1):
        with st.container(border=True, key=f"first-{item.page}"):
            mark = ":green[:material/check_circle:]" if item.done else ":material/circle:"
            st.markdown(f"{mark} **{number}. {item.title}**" + (" · done" if item.done else ""))
            if item.done:
                continue
            st.markdown(item.how)
            if item.command:
                st.code(item.command, language="bash")
            if st.button("Open the page", key=f"open-{item.page}", icon=":material/arrow_forward:"):
                session.go_to(item.page)
