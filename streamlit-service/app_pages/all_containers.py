"""All containers: everybody's, and an administrator's ways to help, and to free what they hold."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st
import wording
from portal import deployments
from portal.core.models import Deployment
from portal.core.people import Role

from app_pages.parts import others, session
from app_pages.parts.others import Act, Way

EXAMPLE = "You asked for help: its kernel did not answer"
COUNTS = "They count for their owners, whose quotas hold."


def page() -> None:
    st.subheader("All containers")
    portal, me = session.portal(), session.user()
    stopped = st.toggle("Show stopped containers", key="with-stopped")
    everybodys = deployments.everybody(portal, me, stopped=stopped)
    if not everybodys:
        st.info(
            "There are no containers now. Everybody's running and waiting containers appear here.",
            icon=":material/deployed_code:",
        )
        return
    if me.role is not Role.ADMIN:
        _events(others.show(everybodys, "all", []))
        return
    stop = partial(deployments.stop, portal, me)
    ways = [others.stopping(stop, "The VM is being serviced on Friday"), *_ways()]
    _events(others.show(everybodys, "all", ways))


def _ways() -> list[Way]:
    def act(action: str) -> Act:
        return lambda deployment_id, reason: deployments.act_for(
            session.portal(), session.user(), deployment_id, action, reason
        )

    return [
        Way(
            "restart",
            "Restart",
            ":material/restart_alt:",
            act("restart"),
            EXAMPLE,
            f"Running work ends; home folders are kept. They start again in their places. {COUNTS}",
        ),
        Way(
            "start",
            "Start",
            ":material/play_arrow:",
            act("start"),
            EXAMPLE,
            f"They start where their home folders are, or wait in the queue. {COUNTS}",
        ),
        Way(
            "remove",
            "Remove",
            ":material/delete:",
            act("remove"),
            "Nobody has used it since June",
            "**They cannot be started again.** Home folders are kept on their VMs; what was"
            " elsewhere in the containers is deleted. Owners see your reason in the history.",
        ),
    ]


def _events(chosen: Sequence[Deployment]) -> None:
    """What happened to the one that is chosen."""
    if len(chosen) != 1:
        return
    [one] = chosen
    with st.expander(f"What happened to {one.name}", icon=":material/history:"):
        for event in deployments.events(session.portal(), session.user(), one.id):
            what, who = wording.past(event, one.owner)
            whom = wording.literal(one.owner.display_name) if who == "you" else who
            when = wording.absolute(event.at, session.zone())
            st.markdown(f"{wording.literal(what)}  \n:small[{when}, by {whom}]")


page()
