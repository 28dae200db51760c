"""GPUs: your share of them, a strip for each VM with the last hour, and the queue."""

from __future__ import annotations

from collections import defaultdict

import streamlit as st
import wording
from portal import deployments, vms
from portal.context import Portal
from portal.core.models import Deployment
from portal.core.people import Role, User
from portal.vms import gpus
from portal.vms import health as vm_health

from app_pages.parts import errors, front, session, tables

REFRESH_S, OF_MANY_S = 3.0, 15.0
MANY = 200
"""GPUs that take a second to draw: so many are drawn less often, which leaves time for clicks."""
LOOK_AGAIN_S = 10.0
"""What is wrong with VMs may be told so late."""
QUEUE_SHOWN = 200
_strips = front.component("gpus")


@errors.told
def page() -> None:
    """The page, updated in place."""
    st.subheader("GPUs")
    overview = gpus.overview(session.portal(), session.user())
    _problems()
    if not overview:
        way = (
            "Prepare a VM that has some: `scripts/setup-vm.sh HOST`"
            if session.user().role is Role.ADMIN
            else f"Ask {session.portal().settings.help_contact} for one."
        )
        st.info(
            f"**No GPUs yet.** None of the VMs that you can use has one. {way}",
            icon=":material/memory:",
        )
        _queue()
        return
    st.markdown(f"**{wording.gpus.share(overview)}**")
    hours = gpus.last_hour(session.portal(), overview)
    _strips(key="gpus", data={"strips": wording.gpus.strips(overview, hours)})
    _queue()


def _problems() -> None:
    """What an administrator should fix comes first, with the command."""
    user = session.user()
    if user.role is Role.ADMIN:
        for text in _wrong(user):
            st.warning(text, icon=":material/build:")


@st.cache_data(ttl=LOOK_AGAIN_S, show_spinner=False)
def _wrong(_admin: User) -> list[str]:
    """Of all VMs: for that the whole fleet is read."""
    portal, gpus_of = session.portal(), defaultdict(list)
    for each in gpus.overview(portal, _admin):
        gpus_of[each.vm.id].append(each.gpu)
    return [
        wording.with_command(problem)
        for use in vms.fleet(portal, _admin)
        for problem in vm_health.gpu_problems(use.vm, gpus_of[use.vm.id])
    ]


def _queue() -> None:
    visible, total = deployments.waiting(session.portal(), session.user())
    if not visible:
        return
    st.markdown(f"**In the queue** · {wording.plural(total, 'request')} in all")
    now = session.portal().now()
    tables.draw(
        [
            {
                "Place": deployment.position,
                "User": deployment.owner.display_name,
                "Container": deployment.name,
                "Asks for": _asks(deployment),
                "Why it waits": deployment.waits_for,
                "Queued": wording.ago(deployment.waiting_since or deployment.created_at, now),
            }
            for deployment in visible[:QUEUE_SHOWN]
        ],
    )


def _asks(deployment: Deployment) -> str:
    gpus = (
        f"{wording.plural(deployment.gpus, 'GPU')} {deployment.gpu_model} · "
        if deployment.gpus
        else ""
    )
    return f"{gpus}{deployment.memory_gb:g} GB"


@st.cache_data(ttl=LOOK_AGAIN_S, show_spinner=False)
def _are_many(_portal: Portal) -> bool:
    return gpus.count(_portal) > MANY


st.fragment(page, run_every=OF_MANY_S if _are_many(session.portal()) else REFRESH_S)()
