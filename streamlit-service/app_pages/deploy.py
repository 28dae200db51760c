"""Deploy: choose an image, say how much, see what will happen, go."""

from __future__ import annotations

import streamlit as st
from portal import deployments, policy, store
from portal.catalog import Image
from portal.errors import PortalError
from portal.models import Order, Release

from app_pages import frame, session, words

MEMORY_STEPS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
CPU_STEPS = (0.5, 1, 2, 4, 8, 16, 32, 64)
CARDS_PER_ROW = 2


def page() -> None:
    """The page."""
    portal = session.portal()
    with portal.store.reading() as tx:
        approved = store.approved_releases(tx)
    offered = {name: image for name, image in portal.catalog.items() if name in approved}
    if not offered:
        st.info("No image is approved yet, so there is nothing to deploy. "
                f"Ask {portal.settings.help_contact} to approve one.", icon=":material/inventory_2:")  # fmt: skip
        return
    chosen = _chosen(list(offered))
    cards, order = st.columns([3, 2], gap="large")
    with cards:
        st.subheader("Choose an image")
        names = list(offered)
        for start in range(0, len(names), CARDS_PER_ROW):
            for column, name in zip(st.columns(CARDS_PER_ROW), names[start : start + CARDS_PER_ROW], strict=False):
                with column:
                    _card(offered[name], approved[name], selected=name == chosen)
    with order:
        st.subheader("Your container")
        _order(offered[chosen])


def _chosen(names: list[str]) -> str:
    """The selected image; the first until one is chosen."""
    chosen: str = st.session_state.get("image", names[0])
    return chosen if chosen in names else names[0]


def _card(image: Image, release: Release, *, selected: bool) -> None:
    zone, now = session.zone(), session.portal().now()
    with st.container(border=True):
        gpu = (
            ":violet-badge[:material/memory: GPU]" if image.gpu else ":gray-badge[:material/developer_board: CPU only]"
        )
        standin = " :orange-badge[:material/science: Stand-in base, demo only]" if release.standin else ""
        st.markdown(f"**{image.title}** {gpu}{standin}")
        st.markdown(image.purpose)
        st.caption(" · ".join(image.packages))
        st.caption(f"{image.name} {release.version} · {words.size(release.size_bytes)} on disk · released "
                   f"{words.ago(release.created_at, now)}", help=words.absolute(release.created_at, zone))  # fmt: skip
        if selected:
            st.markdown(":green-badge[:material/check: Chosen]")
        else:
            st.button("Choose", key=f"choose-{image.name}", on_click=_choose, args=(image.name,))


def _choose(name: str) -> None:
    st.session_state["image"] = name


def _order(image: Image) -> None:
    portal, user = session.portal(), session.user()
    limits = policy.limits_for(portal.settings, user)
    taken = {d.name for d in deployments.mine(portal, user)}
    name = st.text_input("Name", deployments.propose_name(image.name, taken), max_chars=40, key=f"name-{image.name}",
                         help="Small letters, digits and hyphens.")  # fmt: skip
    memory = st.select_slider("Memory (GB)", _up_to(MEMORY_STEPS, limits.memory_gb), value=2, key="memory")
    cpus = st.select_slider("CPUs", _up_to(CPU_STEPS, limits.cpus), value=1, key="cpus")
    order = Order(image.name, name, 0, float(memory), float(cpus))
    try:
        ahead = deployments.preview(portal, user, order)
    except PortalError as error:
        st.warning(f"**{error.message}** {error.hint}", icon=":material/info:")
        st.button("Deploy", type="primary", disabled=True, key="deploy", width="stretch")
        return
    free = f", {ahead.vm_free_memory_gb:.1f} GB of memory free" if ahead.vm_free_memory_gb is not None else ""
    st.info(f"On **{ahead.vm}**{free}. JupyterLab on port {ahead.jupyter_port}. Your home folder on this VM is "
            "kept when the container is removed.", icon=":material/rocket_launch:")  # fmt: skip
    if st.button("Deploy", type="primary", key="deploy", width="stretch"):
        _deploy(order)


def _deploy(order: Order) -> None:
    try:
        deployments.request(session.portal(), session.user(), order)
    except PortalError as error:  # somebody else was faster, say
        frame.show_error(error)
        return
    session.go_to("containers")


def _up_to(steps: tuple[float, ...], most: float) -> list[float]:
    """The amounts that would be granted."""
    fitting = [step for step in steps if step <= most]
    return fitting if len(fitting) > 1 else [most / 2, most]


page()
