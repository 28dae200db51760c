"""Audit: who did what to what, when; whether that is whole; and taking it away."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, time, timedelta
from urllib.parse import urlencode

import streamlit as st
import wording
from portal import audit
from portal.audit import AuditEvent, Wanted

from app_pages.parts import session, tables

ANYBODY, ANYTHING = "Anybody", "Anything"
PERIODS: dict[str, int | None] = {
    "Today": 1,
    "7 days": 7,
    "30 days": 30,
    "All": None,
    "Days": None,
}
DAYS = "Days"
"""From one day to another, both included."""
NOT_PEOPLE = {"worker": "The portal", "directory": "The directory", "stranger": "A stranger"}
"""Who acts besides people, as the trail names them."""
CLI = "cli:"
SHOWN = 120
"""Characters of an event's details in its row."""


def page() -> None:
    st.subheader("Audit")
    portal, me = session.portal(), session.user()
    names = NOT_PEOPLE | audit.people(portal, me)
    wanted = _wanted(names)
    if st.session_state.get("audit-wanted") != wanted:
        st.session_state["audit-wanted"] = wanted
        st.session_state["audit-pages"] = []
    turned: list[int] = st.session_state["audit-pages"]
    events = audit.read(portal, me, wanted, turned[-1] if turned else None)
    _proof(wanted)
    if not events:
        st.info(
            "No event fits. Choose a longer period, or fewer conditions.", icon=":material/policy:"
        )
        return
    tables.choose_from(
        [_row(event, names) for event in events],
        [{"audit-event": event.seq} for event in events],
        key="audit-events",
    )
    _turn(events, turned)
    chosen = st.session_state.get("audit-event")
    for event in events:
        if event.seq == chosen:
            _whole(event, names)


def _wanted(names: Mapping[str, str]) -> Wanted:
    """What the controls say."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        period = st.segmented_control(
            "Period", list(PERIODS), default="7 days", required=True, key="audit-period"
        )
        who = st.selectbox(
            "Who",
            [ANYBODY, *names],
            format_func=lambda key: names.get(key, key),
            key="audit-who",
            width=260,
        )
        kind = st.selectbox("About", [ANYTHING, *audit.KINDS], key="audit-kind", width=180)
        subject = st.text_input(
            "Which",
            key="audit-subject",
            max_chars=200,
            placeholder="deployment:0123456789ab",
            help="What an event is about, as its row shows it when it is opened: `user:…`,"
            " `vm:…`, `deployment:…`.",
            width=220,
        )
        text = st.text_input(
            "Text", key="audit-text", max_chars=200, placeholder="A name, a reason …", width=260
        )
    since, until = _period(period or "7 days")
    return Wanted(
        actor="" if who == ANYBODY else who,
        subject=subject.strip(),
        kind="" if kind == ANYTHING else kind,
        since=since,
        until=until,
        text=text.strip(),
    )


def _period(chosen: str) -> tuple[datetime | None, datetime | None]:
    """In the viewer's own days."""
    zone, today = session.zone(), session.portal().now().astimezone(session.zone()).date()
    if chosen != DAYS:
        days = PERIODS[chosen]
        first = datetime.combine(today - timedelta(days=(days or 1) - 1), time(), zone)
        return first if days else None, None
    span = st.date_input(
        "From, until", (today - timedelta(days=6), today), key="audit-days", width=260
    )
    if not isinstance(span, tuple) or len(span) < 2:  # only one of them so far
        return None, None
    return (
        datetime.combine(span[0], time(), zone),
        datetime.combine(span[1] + timedelta(days=1), time(), zone),
    )


def _proof(wanted: Wanted) -> None:
    """Whether all of it is whole, and the period to take away."""
    with st.container(horizontal=True):
        asked = st.button("Verify", icon=":material/verified_user:", key="audit-verify")
        ends = {"since": wanted.since, "until": wanted.until}
        since = {name: at.isoformat() for name, at in ends.items() if at}
        st.link_button(
            "Export the period",
            f"/api/v1/audit/export?{urlencode(since)}",
            icon=":material/download:",
            help="Every event of the period, whatever else is chosen here, with documents and"
            " hashes, signed; `scripts/verify-audit.py` verifies it anywhere.",
        )
    if not asked:
        return
    with st.spinner("Following the chain of hashes …", show_time=True):
        verdict = audit.verify(session.portal(), session.user())
    if verdict.broken_at is None:
        st.success(
            f"All {verdict.events:,} events are whole: none was changed, removed or put in."
            + (
                f" Signed up to event {verdict.signed:,}, with key `{verdict.key}`."
                if verdict.signed
                else ""
            ),
            icon=":material/verified_user:",
        )
    else:
        st.error(
            f"**The audit trail is broken at event {verdict.broken_at}: {verdict.problem}.**"
            " Compare it with the last export or backup that was whole, and tell your security"
            " officer.",
            icon=":material/gpp_bad:",
        )


def _row(event: AuditEvent, names: Mapping[str, str]) -> dict[str, object]:
    before, after = audit.change(event)
    told = [f"{name}: {_plain(was)} → {_plain(after[name])}" for name, was in before.items()]
    told += [f"{name}: {_short(value)}" for name, value in _rest(event, before).items() if value]
    details = ", ".join(told)
    return {
        "No.": event.seq,
        "When": f"{event.at.astimezone(session.zone()):%Y-%m-%d %H:%M:%S}",
        "Who": _name(event.actor, names),
        "What": event.action,
        "About": _about(event, names),
        "Details": details if len(details) <= SHOWN else f"{details[:SHOWN]} …",
    }


def _name(subject: str, names: Mapping[str, str]) -> str:
    if subject.startswith(CLI):
        return f"Command line ({subject.removeprefix(CLI)})"
    return names.get(subject, subject)


def _about(event: AuditEvent, names: Mapping[str, str]) -> str:
    kind, _, key = event.subject.partition(":")
    return f"{kind} {names.get(key, key)}"


def _short(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _turn(events: Sequence[AuditEvent], turned: list[int]) -> None:
    """To older events and back."""
    with st.container(horizontal=True):
        newer = st.button(
            "Newer", icon=":material/chevron_left:", disabled=not turned, key="audit-newer"
        )
        full = len(events) == audit.MOST
        older = st.button(
            "Older", icon=":material/chevron_right:", disabled=not full, key="audit-older"
        )
    if newer:
        turned.pop()
    elif older:
        turned.append(events[-1].seq)
    if newer or older:
        st.rerun()


def _whole(event: AuditEvent, names: Mapping[str, str]) -> None:
    with st.container(border=True, key="audit-whole"):
        when = wording.absolute(event.at, session.zone())
        st.markdown(
            f"**{wording.literal(event.action)}**, event {event.seq}, {when}  \n"
            f"by {wording.literal(_name(event.actor, names))}"
            f" ({wording.literal(event.actor)}), about {wording.literal(event.subject)}"
        )
        if not event.details:
            st.caption("Nothing more was recorded.")
        before, after = audit.change(event)
        if before:
            _table(
                {"Changed": name, "Before": _cell(was), "After": _cell(after[name])}
                for name, was in before.items()
            )
        rest = _rest(event, before)
        nested = {name: value for name, value in rest.items() if isinstance(value, Mapping)}
        _table(
            {"Recorded": name, "Is": _cell(value)}
            for name, value in rest.items()
            if name not in nested
        )
        if nested:
            st.json(nested)


def _rest(event: AuditEvent, before: Mapping[str, object]) -> dict[str, object]:
    """What an event says besides its change."""
    aside = {*before, *(("before", "after") if before else ())}
    return {name: value for name, value in event.details.items() if name not in aside}


def _table(rows: Iterable[Mapping[str, str]]) -> None:
    if shown := list(rows):
        st.table(shown, hide_index=True, border="horizontal", width="content")


def _cell(value: object) -> str:
    """One value of an event, as it was recorded."""
    return wording.literal(_plain(value))


def _plain(value: object) -> str:
    return "–" if value in (None, "", []) else _short(value)


page()
