"""Other people's containers: a table, and Stop for those that are chosen in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st
import wording
from portal.core.models import Deployment
from portal.deployments import lifecycle

from app_pages.parts import frame

Stop = Callable[[str, str], object]
"""Stops the deployment of this id, for this reason."""


def show(containers: Sequence[Deployment], key: str, stop: Stop, example: str) -> None:
    """Draw it. `example`: what a reason may be."""
    st.caption("Select rows to stop those containers.")
    times = f"{key}-times"
    chosen = st.dataframe(
        [_row(each) for each in containers],
        hide_index=True,
        width="stretch",
        key=f"{key}-{st.session_state.get(times, 0)}",
        on_select="rerun",
        selection_mode="multi-row",
        column_config={"Since": st.column_config.DatetimeColumn(format="distance")},
    )
    rows = [containers[index] for index in chosen["selection"]["rows"] if index < len(containers)]
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
        _ask(stoppable, times, stop, example)


def _row(d: Deployment) -> dict[str, object]:
    return {
        "User": d.owner.display_name,
        "Container": d.name,
        "Group": d.group,
        "State": wording.STATE_WORDS[d.state][0] + (" (problem)" if d.trouble else ""),
        "VM": d.vm.name if d.vm else "",
        "GPUs": d.gpus,
        "Memory (GB)": d.memory_gb,
        "CPUs": d.cpus,
        "Image": f"{d.release.image} {d.release.version}",
        "Since": d.started_at or d.waiting_since or d.updated_at,
    }


def _ask(chosen: list[Deployment], times: str, stop: Stop, example: str) -> None:
    def body() -> None:
        st.markdown(
            "\n".join(
                f"- **{each.name}** of {wording.literal(each.owner.display_name)}"
                for each in chosen
            )
            + "\n\nRunning work ends; home folders are kept. Owners see your reason and can start"
            " their containers again."
        )
        reason = st.text_input(
            "Reason, for the owner" if len(chosen) == 1 else "Reason, for the owners",
            key="stop-reason",
            max_chars=500,
            placeholder=example,
        )
        if frame.confirmed("Stop", "confirm-stop", loses=True):
            frame.carry_out(
                lambda: _stop_all(chosen, reason),
                f"Stopping {wording.plural(len(chosen), 'container')}.",
            )

    def _stop_all(chosen: list[Deployment], reason: str) -> None:
        """The first that cannot be stopped is told; those before it are. Then no row is chosen."""
        st.session_state[times] = st.session_state.get(times, 0) + 1
        for each in chosen:
            stop(each.id, reason)

    frame.ask(f"Stop {wording.plural(len(chosen), 'container')}?", body)
