"""All containers: everybody's, and an administrator's way to free what one of them holds."""

from __future__ import annotations

import streamlit as st
import wording
from portal import deployments
from portal.core.models import Deployment
from portal.deployments import lifecycle

from app_pages.parts import frame, session


def page() -> None:
    st.subheader("All containers")
    stopped = st.toggle("Show stopped containers", key="with-stopped")
    everybodys = deployments.everybody(session.portal(), session.user(), stopped=stopped)
    if not everybodys:
        st.info(
            "There are no containers now. Everybody's running and waiting containers appear here.",
            icon=":material/deployed_code:",
        )
        return
    st.caption("Select rows to stop those containers.")
    chosen = st.dataframe(
        [_row(each) for each in everybodys],
        hide_index=True,
        width="stretch",
        key=f"all-{st.session_state.get('stopped-times', 0)}",
        on_select="rerun",
        selection_mode="multi-row",
        column_config={"Since": st.column_config.DatetimeColumn(format="distance")},
    )
    rows = [everybodys[index] for index in chosen["selection"]["rows"] if index < len(everybodys)]
    stoppable = [
        each
        for each in rows
        if lifecycle.is_possible("stop", each.state, restarting=each.restart_after_stop)
    ]
    if st.button(
        f"Stop {wording.plural(len(stoppable), 'container')} …" if stoppable else "Stop …",
        key="stop",
        icon=":material/stop:",
        disabled=not stoppable,
    ):
        _stop(stoppable)


def _row(d: Deployment) -> dict[str, object]:
    return {
        "User": d.owner.display_name,
        "Container": d.name,
        "State": wording.STATE_WORDS[d.state][0] + (" (problem)" if d.trouble else ""),
        "VM": d.vm.name if d.vm else "",
        "GPUs": d.gpus,
        "Memory (GB)": d.memory_gb,
        "CPUs": d.cpus,
        "Image": f"{d.release.image} {d.release.version}",
        "Since": d.started_at or d.waiting_since or d.updated_at,
    }


def _stop(chosen: list[Deployment]) -> None:
    def body() -> None:
        st.markdown(
            "\n".join(f"- **{each.name}** of {each.owner.display_name}" for each in chosen)
            + "\n\nRunning work ends; home folders are kept. Owners see your reason and can start"
            " their containers again."
        )
        reason = st.text_input(
            "Reason, for the owner" if len(chosen) == 1 else "Reason, for the owners",
            key="stop-reason",
            max_chars=500,
            placeholder="The VM is being serviced on Friday",
        )
        if frame.confirmed("Stop", "confirm-stop", loses=True):
            frame.carry_out(
                lambda: _stop_all(chosen, reason),
                f"Stopping {wording.plural(len(chosen), 'container')}.",
            )

    frame.ask(f"Stop {wording.plural(len(chosen), 'container')}?", body)


def _stop_all(chosen: list[Deployment], reason: str) -> None:
    """The first that cannot be stopped is told; those before it are. Then no row is chosen."""
    st.session_state["stopped-times"] = st.session_state.get("stopped-times", 0) + 1
    for each in chosen:
        deployments.stop(session.portal(), session.user(), each.id, reason)


page()
