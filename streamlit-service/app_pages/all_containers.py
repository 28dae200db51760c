"""All containers: everybody's, and an administrator's ways to help, and to free what they hold."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from urllib.parse import urlencode

import streamlit as st
import wording
from portal import deployments
from portal.core.models import Deployment
from portal.core.people import Role

from app_pages.parts import errors, others, session

LOOK_AGAIN_S = 3.0
IDLE_H = {"Any": 0, "1 hour": 1, "8 hours": 8, "1 day": 24, "7 days": 24 * 7}


def page() -> None:
    st.subheader("All containers")
    portal, me = session.portal(), session.user()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        stopped, seen = st.toggle("Show stopped containers", key="with-stopped"), _stamp()
        everybodys = deployments.everybody(portal, me, stopped=stopped)
        wanted = _wanted(everybodys) if everybodys else everybodys
    chosen = _show(everybodys, wanted)
    _follow(seen, waits=bool(chosen))


def _show(everybodys: Sequence[Deployment], wanted: Sequence[Deployment]) -> list[Deployment]:
    """The table, and what may be done; returns those that are chosen."""
    portal, me = session.portal(), session.user()
    if not everybodys:
        st.info(
            "There are no containers now. Everybody's running and waiting containers appear here.",
            icon=":material/deployed_code:",
        )
        return []
    if not wanted:
        st.info("No container fits. Choose fewer conditions.", icon=":material/filter_alt_off:")
        return []
    if len(wanted) < len(everybodys):
        st.caption(f"{len(wanted):,} of {len(everybodys):,} containers.")
    ways = []
    if me.role is Role.ADMIN:
        stop = partial(deployments.stop, portal, me)
        ways = [others.stopping(stop, "The VM is being serviced on Friday"), *_ways()]
    chosen = others.show(wanted, "all", ways)
    others.history(chosen, partial(deployments.events, portal, me))
    if me.role is Role.ADMIN and portal.settings.admins_read_logs:
        _log(chosen)
    return chosen


def _stamp() -> Hashable:
    return deployments.stamp(session.portal(), session.user())


@st.fragment(run_every=LOOK_AGAIN_S)
@errors.told
def _follow(seen: Hashable, *, waits: bool) -> None:
    """What is new is shown by itself; where rows are chosen, at a click: none moves meanwhile."""
    if _stamp() == seen:
        return
    if not waits or st.button(
        "Something has changed: show it", icon=":material/refresh:", key="renew"
    ):
        st.rerun()


def _wanted(everybodys: Sequence[Deployment]) -> list[Deployment]:
    """Those that fit the conditions above the table; of a condition without a choice all do."""
    now = session.portal().now()
    facts: dict[str, Callable[[Deployment], str]] = {
        "VM": lambda d: d.vm.name if d.vm else "None yet",
        "User": lambda d: d.owner.display_name,
        "Image": lambda d: d.release.image,
        "State": lambda d: wording.STATE_WORDS[d.state][0],
    }
    found = list(everybodys)
    for label, fact in facts.items():
        known = sorted({fact(each) for each in everybodys})
        chosen = st.multiselect(label, known, key=f"only-{label.lower()}", width=200)
        found = [each for each in found if not chosen or fact(each) in chosen]
    hours = IDLE_H[st.selectbox("Idle for at least", list(IDLE_H), key="only-idle", width=150)]
    return [each for each in found if not hours or (others.idle_h(each, now) or 0) >= hours]


def _log(chosen: Sequence[Deployment]) -> None:
    """The log of the one that is chosen: in a window of its own, as a download or a page."""
    if len(chosen) != 1:
        return
    [one] = chosen
    with st.container(horizontal=True, vertical_alignment="bottom"):
        reason = st.text_input(
            "Reason, for the owner",
            key="log-reason",
            max_chars=500,
            placeholder=others.EXAMPLE,
            width=420,
        )
        address = f"/api/v1/fleet/deployments/{one.id}/logs?{urlencode({'reason': reason})}"
        st.link_button(
            f"Read the log of {one.name}",
            address,
            icon=":material/article:",
            disabled=not reason.strip(),
            help="Its owner reads in its history that you did, and why.",
        )


def _ways() -> list[others.Way]:
    portal, me = session.portal(), session.user()
    return others.helping(partial(deployments.act_for, portal, me))


page()
