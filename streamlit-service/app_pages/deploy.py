"""Deploy: choose an image, say how much, see what will happen, go."""

from __future__ import annotations

import streamlit as st
import wording
from portal import deployments, images
from portal.core.catalog import Image
from portal.core.errors import PortalError
from portal.core.models import Order
from portal.core.resources import Resources
from portal.images import OfferedImage
from portal.vms import gpus

from app_pages.parts import frame, session

MEMORY_STEPS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
CPU_STEPS = (0.5, 1, 2, 4, 8, 16, 32, 64)
CARDS_PER_ROW = 2


def page() -> None:
    portal = session.portal()
    offered = {each.image.name: each for each in images.offered(portal, session.user())}
    if not offered:
        st.info(
            "No image is approved yet, so there is nothing to deploy. "
            f"Ask {portal.settings.help_contact} to approve one.",
            icon=":material/inventory_2:",
        )
        return
    chosen = _chosen(offered)
    cards, order = st.columns([3, 2], gap="large")
    with cards:
        st.subheader("Choose an image")
        names = list(offered)
        for start in range(0, len(names), CARDS_PER_ROW):
            for column, name in zip(
                st.columns(CARDS_PER_ROW), names[start : start + CARDS_PER_ROW], strict=False
            ):
                with column:
                    _card(offered[name], selected=name == chosen)
    with order:
        st.subheader("Your container")
        _order(offered[chosen].image)


def _chosen(offered: dict[str, OfferedImage]) -> str:
    """The selected image; else the newest container's; else the first that the VMs can run."""
    if "image" not in st.session_state:
        mine = deployments.mine(session.portal(), session.user())
        have_gpus = bool(gpus.offers(session.portal(), session.user()))
        fitting = [name for name, each in offered.items() if each.image.gpu == have_gpus]
        first = (fitting or list(offered))[0]
        st.session_state["image"] = mine[0].release.image if mine else first
    chosen: str = st.session_state["image"]
    return chosen if chosen in offered else next(iter(offered))


def _card(offered: OfferedImage, *, selected: bool) -> None:
    image, release, ready = offered.image, offered.release, offered.ready
    zone, now = session.zone(), session.portal().now()
    with st.container(border=True):
        gpu = (
            ":violet-badge[:material/memory: GPU]"
            if image.gpu
            else ":gray-badge[:material/developer_board: CPU only]"
        )
        standin = (
            " :orange-badge[:material/science: Stand-in base, demo only]" if release.standin else ""
        )
        st.markdown(f"**{image.title}** {gpu}{standin}")
        st.markdown(image.purpose)
        st.caption(" · ".join(release.highlights))
        st.caption(
            f"{image.name} {release.version} · {wording.size(release.size_bytes)} on disk"
            f" · released {wording.ago(release.created_at, now)}",
            help=wording.absolute(release.created_at, zone),
        )
        if release.scanned_at:
            verdict = f"Scanned {wording.ago(release.scanned_at, now)}, {wording.verdict(release)}"
            st.caption(
                f":material/verified_user: {verdict}  \n{wording.ready(ready, release)}",
                help=wording.absolute(release.scanned_at, zone),
            )
        with st.container(horizontal=True, vertical_alignment="center"):
            if selected:
                st.markdown(":green-badge[:material/check: Chosen]", width="content")
            else:
                st.button(
                    "Choose", key=f"choose-{image.name}", on_click=_choose, args=(image.name,)
                )
            if st.button("What is in it", key=f"contents-{image.name}", type="tertiary"):
                st.session_state["images-of"] = image.name
                session.go_to("images")


def _choose(name: str) -> None:
    st.session_state["image"] = name


def _order(image: Image) -> None:
    portal, user = session.portal(), session.user()
    limits = gpus.order_limits(portal, user)
    if limits.short:
        st.warning(
            f"**Your containers hold all the {limits.short} of your "
            "quota.** Stop one to deploy another.",
            icon=":material/info:",
        )
        st.button("Deploy", type="primary", disabled=True, key="deploy", width="stretch")
        return
    order = _form(image, limits.most)
    try:
        ahead = deployments.preview(portal, user, order)
    except PortalError as error:
        st.warning(f"**{error.message}** {error.hint}", icon=":material/info:")
        st.button("Deploy", type="primary", disabled=True, key="deploy", width="stretch")
        return
    if ahead.vm is None:
        st.info(wording.would_wait(ahead), icon=":material/hourglass_top:")
    else:
        st.info(wording.would_start(ahead, order), icon=":material/rocket_launch:")
    label = "Deploy" if ahead.vm is not None else "Join the queue"
    if st.button(label, type="primary", key="deploy", width="stretch"):
        _deploy(order)


def _form(image: Image, most: Resources) -> Order:
    taken = {d.name for d in deployments.mine(session.portal(), session.user())}
    name = st.text_input(
        "Name",
        deployments.propose_name(image.name, taken),
        max_chars=40,
        key=f"name-{image.name}",
        help="Small letters, digits and hyphens.",
    )
    count, model = _gpus(int(most.gpus)) if image.gpu else (0, "")
    left, right = st.columns(2)
    with left:
        memory = _amount("Memory (GB)", MEMORY_STEPS, most.memory_gb, 2, "memory")
    with right:
        cpus = _amount("CPUs", CPU_STEPS, most.cpus, 1, "cpus")
    st.caption(wording.could_have(most))
    with st.expander("Advanced", key="advanced"):
        ssh = st.checkbox(
            "SSH",
            key="ssh",
            help=(
                "Connect with your card, or with a key from the page SSH keys; "
                "for terminals, file transfer and VS Code."
            ),
        )
    return Order(
        image.name, name, gpus=count, memory_gb=memory, cpus=cpus, gpu_model=model, ssh=ssh
    )


def _gpus(allowed: int) -> tuple[int, str]:
    """How many GPUs, and of which model: only amounts that exist and would be granted."""
    offers = gpus.offers(session.portal(), session.user())
    if not offers:
        st.caption("None of your VMs has a GPU; this image also runs without one, slowly.")
        return 0, ""
    model = ""
    if len(offers) > 1:
        named = {"": "Any model", **{o.model: f"{o.model} ({o.free} free now)" for o in offers}}
        model = st.selectbox(
            "GPU model", list(named), format_func=named.__getitem__, key="gpu-model"
        )
    chosen = [offer for offer in offers if model in ("", offer.model)]
    most = min(max(offer.most for offer in chosen), allowed)
    if most == 0:
        st.caption("Nothing is left of your GPU quota. Stop a container to use a GPU here.")
        return 0, model
    free = sum(offer.free for offer in chosen)
    count = st.segmented_control("GPUs", range(most + 1), default=1, required=True, key="gpus")
    st.caption(f"{free} free now" if free else "None is free now; you get a place in the queue.")
    return int(count or 0), model


def _deploy(order: Order) -> None:
    try:
        deployments.request(session.portal(), session.user(), order)
    except PortalError as error:  # somebody else was faster, say
        frame.show_error(error)
        return
    session.go_to("containers")


def _amount(label: str, steps: tuple[float, ...], most: float, usual: float, key: str) -> float:
    """An amount that would be granted: the usual steps up to what is left."""
    fitting = [step for step in steps if step < most] + [most]
    if len(fitting) < 2:
        st.caption(f"{label}: {most:g} left of your quota.")
        return fitting[0]
    value = usual if usual in fitting else fitting[-1]
    return float(
        st.select_slider(label, fitting, value=value, key=key, format_func=lambda step: f"{step:g}")
    )


page()
