"""Other people's containers: a table, and what may be done to those that are chosen in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import streamlit as st
import wording
from portal.core.errors import PortalError
from portal.core.models import Deployment, State
from portal.deployments import Event, lifecycle

from app_pages.parts import frame, session, tables

Act = Callable[[str, str], object]
"""Does it to the deployment of this id, for this reason."""


@dataclass(frozen=True)
class Way:
    """Something to do for other people. `example`: what a reason may be."""

    action: str
    label: str
    icon: str
    act: Act
    example: str
    loss: str
    """What comes of it, told before."""


def stopping(act: Act, example: str) -> Way:
    """Stop them; their owners may start them again."""
    loss = "Running work ends; home folders are kept. Owners see your reason and can start their"
    return Way("stop", "Stop", ":material/stop:", act, example, f"{loss} containers again.")


EXAMPLE = "You asked for help: its kernel did not answer"
COUNTS = "They count for their owners, whose quotas hold."


def helping(act: Callable[[str, str, str], object]) -> list[Way]:
    """Restart, start and remove; `act` takes an id, the action, and a reason."""

    def way(action: str) -> Act:
        return lambda deployment_id, reason: act(deployment_id, action, reason)

    return [
        Way(
            "restart",
            "Restart",
            ":material/restart_alt:",
            way("restart"),
            EXAMPLE,
            f"Running work ends; home folders are kept. They start again in their places. {COUNTS}",
        ),
        Way(
            "start",
            "Start",
            ":material/play_arrow:",
            way("start"),
            EXAMPLE,
            f"They start where their home folders are, or wait in the queue. {COUNTS}",
        ),
        Way(
            "remove",
            "Remove",
            ":material/delete:",
            way("remove"),
            "Nobody has used it since June",
            "**They cannot be started again.** Home folders are kept on their VMs; what was"
            " elsewhere in the containers is deleted. Owners see your reason in the history.",
        ),
    ]


def history(chosen: Sequence[Deployment], events: Callable[[str], Sequence[Event]]) -> None:
    """What happened to the one that is chosen."""
    if len(chosen) != 1:
        return
    [one] = chosen
    with st.expander(f"What happened to {one.name}", icon=":material/history:"):
        for event in events(one.id):
            what, who = wording.past(event, one.owner)
            whom = wording.literal(one.owner.display_name) if who == "you" else who
            when = wording.absolute(event.at, session.zone())
            st.markdown(f"{wording.literal(what)}  \n:small[{when}, by {whom}]")


def show(containers: Sequence[Deployment], key: str, ways: Sequence[Way]) -> list[Deployment]:
    """Draw it; returns those that are chosen."""
    st.caption(
        "Select rows to act on those containers."
        if ways
        else "Select a row for what happened to that container."
    )
    times, now = f"{key}-times", session.portal().now()
    chosen = tables.draw(
        [_row(each, now) for each in containers],
        key=f"{key}-{st.session_state.get(times, 0)}",
        on_select="rerun",
        selection_mode="multi-row",
        column_config={"Since": st.column_config.DatetimeColumn(format="distance")},
    )
    rows = [containers[index] for index in chosen["selection"]["rows"] if index < len(containers)]
    with st.container(horizontal=True):
        for way in ways:
            _button(way, rows, times)
    return rows


def _button(way: Way, rows: Sequence[Deployment], times: str) -> None:
    possible = [
        each
        for each in rows
        if lifecycle.is_possible(way.action, each.state, restarting=each.restart_after_stop)
    ]
    count = f" {wording.plural(len(possible), 'container')}" if possible else ""
    if st.button(f"{way.label}{count} …", key=way.action, icon=way.icon, disabled=not possible):
        _ask(way, possible, times)


def _row(d: Deployment, now: datetime) -> dict[str, object]:
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
        "Idle (h)": idle_h(d, now),
    }


def idle_h(d: Deployment, now: datetime) -> float | None:
    """For how many hours nobody has used what runs; None for what does not."""
    if d.state is not State.RUNNING:
        return None
    last = d.last_activity_at or d.started_at or d.updated_at
    return round(max(0.0, (now - last).total_seconds()) / 3600, 1)


def _ask(way: Way, chosen: list[Deployment], times: str) -> None:
    count = wording.plural(len(chosen), "container")

    def body() -> None:
        st.markdown(
            "\n".join(
                f"- **{each.name}** of {wording.literal(each.owner.display_name)}"
                for each in chosen
            )
            + f"\n\n{way.loss}"
        )
        reason = st.text_input(
            "Reason, for the owner" if len(chosen) == 1 else "Reason, for the owners",
            key=f"{way.action}-reason",
            max_chars=500,
            placeholder=way.example,
        )
        loses = way.action != "start"
        if frame.confirmed(way.label, f"confirm-{way.action}", loses=loses):
            frame.carry_out(lambda: act_on_all(reason), f"{way.label}: {count}.")

    def act_on_all(reason: str) -> None:
        """All that can be; then, where some could not, which and why. Then no row is chosen."""
        st.session_state[times] = st.session_state.get(times, 0) + 1
        refused = []
        for each in chosen:
            try:
                way.act(each.id, reason)
            except PortalError as error:
                refused.append((each.name, error))
        if not refused:
            return
        if len(chosen) == 1:
            raise refused[0][1]
        names = ", ".join(name for name, _ in refused)
        done = len(chosen) - len(refused)
        first = refused[0][1]
        said = f"{done} of {len(chosen)} are done; not {names}. {first.message}"
        raise PortalError(first.code, said, first.hint)

    frame.ask(f"{way.label} {count}?", body)
