"""The order beside the list of images: name, size, GPUs, what will happen, Deploy."""

from __future__ import annotations

from collections.abc import Collection

import streamlit as st
import wording
from portal import deployments
from portal.core import sizes
from portal.core.catalog import Image
from portal.core.errors import PortalError
from portal.core.models import Deployment, Order
from portal.core.resources import Resources
from portal.core.sizes import CUSTOM
from portal.images import OfferedImage
from portal.vms import gpus

from app_pages.parts import draft, errors, session

MEMORY_STEPS = (1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
LITTLE_GB = 1.0
"""With less a notebook starts, and its first import may end it."""
CPU_STEPS = (0.5, 1, 2, 4, 8, 16, 32, 64)


def show(offered: OfferedImage) -> None:
    """Draw it, and deploy when that is asked for."""
    portal, user = session.portal(), session.user()
    group = _group()
    limits = gpus.order_limits(portal, user, group)
    if limits.short:
        st.warning(
            f"**Your containers use all the {limits.short} in your "
            "quota.** Stop one, or take one out of the queue, to deploy another.",
            icon=":material/info:",
        )
        st.button("Deploy", type="primary", disabled=True, key="deploy", width="stretch")
        return
    mine = deployments.mine(portal, user)
    _same_again(offered.image, mine)
    order = _form(offered.image, limits.most, {d.name for d in mine}, group)
    try:
        ahead = deployments.preview(portal, user, order)
    except PortalError as error:
        st.warning(
            f"**{wording.literal(error.message)}** {wording.literal(error.hint)}",
            icon=":material/info:",
        )
        st.button("Deploy", type="primary", disabled=True, key="deploy", width="stretch")
        return
    if ahead.vm is None:
        st.info(wording.would_wait(ahead), icon=":material/hourglass_top:")
    else:
        st.info(wording.would_start(ahead, order), icon=":material/rocket_launch:")
    label = "Deploy" if ahead.vm is not None else "Join the queue"
    if st.button(label, type="primary", key="deploy", width="stretch"):
        _deploy(order)
    st.caption(wording.free_now(limits.free, gpus=offered.image.gpu))


def _same_again(image: Image, mine: list[Deployment]) -> None:
    """Offers what the newest container of this image has."""
    last = next((d for d in mine if d.release.image == image.name), None)
    if last is not None:
        amounts = wording.amounts(last.resources)
        st.button(
            f"Same as last time: {amounts}",
            key="same",
            icon=":material/history:",
            on_click=_fill_in,
            args=(last,),
        )


def fill_in_like(deployment_id: str) -> None:
    """The next order has what this container of one's own has; nothing where there is none."""
    all_mine = deployments.mine(session.portal(), session.user())
    for mine in all_mine:
        if mine.id == deployment_id:
            _fill_in(mine)
            name = deployments.propose_name(mine.name, {each.name for each in all_mine})
            st.session_state[draft.name_key(mine.release.image)] = name


def _fill_in(last: Deployment) -> None:
    state, user = st.session_state, session.user()
    group = last.group if last.group in user.groups else user.group
    if len(user.groups) > 1:
        state["group"] = group
    named = {amounts: name for name, amounts in _sizes(group).items()}
    state["size"] = named.get((last.memory_gb, last.cpus), CUSTOM)
    state["memory"], state["cpus"], state["ssh"] = last.memory_gb, last.cpus, last.ssh
    state["gpus"], state["gpu-model"] = last.gpus, last.gpu_model


def _group() -> str:
    """Which of somebody's groups it counts for: asked of who has a choice."""
    user = session.user()
    if len(user.groups) < 2:
        return user.group
    _keep("group", user.group, user.groups)
    chosen = st.selectbox(
        "Counts for group",
        user.groups,
        key="group",
        help="Its quota and its VMs are used; its leads see the container.",
    )
    return str(chosen)


def _form(image: Image, most: Resources, taken: set[str], group: str) -> Order:
    name = st.text_input(
        "Name",
        deployments.propose_name(image.name, taken),
        max_chars=40,
        key=draft.name_key(image.name),
        help="Lowercase letters, digits and hyphens.",
    )
    memory, cpus = _size(most, group)
    count, model = _gpus(int(most.gpus), group) if image.gpu else (0, "")
    ssh = st.checkbox(
        "SSH",
        key="ssh",
        help=(
            "Connect with your card, or with a key from the SSH keys page; "
            "for terminals, file transfer and VS Code."
        ),
    )
    return Order(
        image.name,
        name,
        gpus=count,
        memory_gb=memory,
        cpus=cpus,
        gpu_model=model,
        ssh=ssh,
        group=group,
    )


def _sizes(group: str) -> dict[str, tuple[float, float]]:
    """GB and CPUs by name."""
    offered = sizes.of_group(session.portal().settings.sizes, group)
    return {size.name: (size.memory_gb, size.cpus) for size in offered}


def _size(most: Resources, group: str) -> tuple[float, float]:
    """GB and CPUs: a size, of those that would be granted, or amounts of one's own."""
    offered = _sizes(group)
    fitting = {
        name: (memory, cpus)
        for name, (memory, cpus) in offered.items()
        if memory <= most.memory_gb and cpus <= most.cpus
    }
    choices = [*fitting, CUSTOM]
    _keep("size", choices[0], choices)
    size = st.segmented_control(
        "Size",
        choices,
        required=True,
        key="size",
        format_func=lambda name: (
            f"{name} · {fitting[name][0]:g} GB, {wording.amount(fitting[name][1], 'CPU')}"
            if name in fitting
            else name
        ),
    )
    if len(fitting) < len(offered):
        st.caption(wording.too_large([each for each in offered if each not in fitting], most))
    if size in fitting:
        return fitting[size]
    left, right = st.columns(2)
    with left:
        memory = _amount("Memory (GB)", MEMORY_STEPS, most.memory_gb, 2, "memory")
        if memory < LITTLE_GB:
            st.warning(f"{memory:g} GB is barely enough for a notebook.", icon=":material/memory:")
    with right:
        cpus = _amount("CPUs", CPU_STEPS, most.cpus, 1, "cpus")
    return memory, cpus


def _gpus(allowed: int, group: str) -> tuple[int, str]:
    """How many GPUs, and of which model: only amounts that exist and would be granted."""
    offers = gpus.offers(session.portal(), session.user(), group)
    if not offers:
        st.caption("None of your VMs has a GPU; this image also runs without one, slowly.")
        return 0, ""
    model = ""
    if len(offers) > 1:
        named = {"": "Any model", **{o.model: f"{o.model} ({o.free} free now)" for o in offers}}
        _keep("gpu-model", "", named)
        model = st.selectbox(
            "GPU model", list(named), format_func=named.__getitem__, key="gpu-model"
        )
    chosen = [offer for offer in offers if model in ("", offer.model)]
    most = min(max(offer.most for offer in chosen), allowed)
    if most == 0:
        st.caption("Your GPU quota is used up. Stop a container to use a GPU here.")
        return 0, model
    free = sum(offer.free for offer in chosen)
    _keep("gpus", 1, range(most + 1))
    count = st.segmented_control("GPUs", range(most + 1), required=True, key="gpus")
    st.caption(f"{free} free now" if free else "None free now; you would join the queue.")
    return int(count or 0), model


def _amount(label: str, steps: tuple[float, ...], most: float, usual: float, key: str) -> float:
    """An amount that would be granted: the usual steps up to what is left."""
    chosen = st.session_state.get(key, most)
    fitting = sorted({step for step in (*steps, chosen) if step < most} | {most})
    if len(fitting) < 2:
        st.caption(f"{label}: {most:g} left of your quota.")
        return fitting[0]
    _keep(key, usual if usual in fitting else fitting[-1], fitting)
    return float(st.select_slider(label, fitting, key=key, format_func=lambda step: f"{step:g}"))


def _keep(key: str, usual: object, choices: Collection[object]) -> None:
    """What was chosen before stays as long as it can be chosen; else the usual."""
    if st.session_state.get(key) not in choices:
        st.session_state[key] = usual


def _deploy(order: Order) -> None:
    try:
        deployments.request(session.portal(), session.user(), order)
    except PortalError as error:  # somebody else was faster, say
        errors.show(error)
        return
    draft.forget()
    session.go_to("containers")
