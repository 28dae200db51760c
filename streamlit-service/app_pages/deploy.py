"""Deploy: choose an image, say how much, see what will happen, go."""

from __future__ import annotations

from typing import Any

import streamlit as st
import wording
from portal import deployments, images
from portal.images import OfferedImage
from portal.vms import gpus

from app_pages.parts import draft, front, order_form, session, vm_alarms

_choices = front.component("choices")


def page() -> None:
    portal = session.portal()
    offered = {each.image.name: each for each in images.offered(portal, session.user())}
    st.subheader("Deploy")
    vm_alarms.at_home()
    if not offered:
        st.info(
            "No image is approved yet, so there is nothing to deploy. "
            f"Ask {portal.settings.help_contact} to approve one.",
            icon=":material/inventory_2:",
        )
        return
    listed, order = st.columns([3, 2], gap="large")
    with listed:
        chosen = _choose(offered)
        if st.button("View packages", key="contents", type="tertiary", icon=":material/list:"):
            st.session_state["images-of"] = chosen
            session.go_to("images")
    with order, st.container(key="order"):
        order_form.show(offered[chosen])


def _choose(offered: dict[str, OfferedImage]) -> str:
    """The list; the name of the image that is chosen in it."""
    taken = {each.name for each in deployments.mine(session.portal(), session.user())}
    held = draft.kept(_wanted(offered), taken)
    wanted = _wanted(offered)
    drawn: Any = _choices(
        key="choices",
        data={
            "label": "Image",
            "chosen": wanted,
            "choices": [_choice(each) for each in offered.values()],
            "draft": held,
            "asks": draft.is_asked_for(),
        },
        on_chosen_change=_chosen,
        on_draft_change=lambda: None,
    )
    if remembered := drawn.get("draft"):
        draft.take(remembered, taken)
        st.rerun()
    return wanted


def _chosen() -> None:
    if choices := st.session_state.get("choices"):  # there is none while pages change
        st.session_state["image"] = choices["chosen"]


def _wanted(offered: dict[str, OfferedImage]) -> str:
    """The chosen image; else the newest container's; else the first that the VMs can run."""
    if "image" not in st.session_state:
        mine = deployments.mine(session.portal(), session.user())
        have_gpus = bool(gpus.offers(session.portal(), session.user()))
        fitting = [name for name, each in offered.items() if each.image.gpu == have_gpus]
        first = (fitting or list(offered))[0]
        st.session_state["image"] = mine[0].release.image if mine else first
    chosen: str = st.session_state["image"]
    return chosen if chosen in offered else next(iter(offered))


def _choice(offered: OfferedImage) -> dict[str, Any]:
    image, release = offered.image, offered.release
    now = session.portal().now()
    aside = [wording.ready(offered.ready, release)]
    if release.scanned_at:
        scan = f"Scanned {wording.ago(release.scanned_at, now)}, {wording.verdict(release)}"
        aside.append(("verified_user", scan))
    aside.append(("update", f"{release.version}, released {wording.ago(release.created_at, now)}"))
    return {
        "key": image.name,
        "title": image.title,
        "tag": "GPU" if image.gpu else "CPU only",
        "text": image.purpose,
        "chips": list(release.highlights),
        "aside": aside,
        "warning": "Stand-in base, for demonstrations only" if release.standin else "",
    }


page()
