"""Announcements: what people read on every page, from when, until when, whom."""

from __future__ import annotations

from datetime import timedelta

import streamlit as st
from portal import announcements, vms
from portal.announcements import MAX_LENGTH, Announcement, Level
from portal.core.announcements import EVERYBODY, OF_GROUP, OF_ROLE, OF_VM
from portal.core.people import Role
from portal.scheduling import groups

from app_pages.parts import bar, frame, session, tables


def page() -> None:
    st.subheader("Announcements")
    portal, me = session.portal(), session.user()
    told = announcements.planned(portal, me)
    if told:
        tables.plain([_row(each) for each in told], key="announcements", bars=())
    else:
        st.info(
            "Nothing is announced. What you announce stands on every page of whom it is for.",
            icon=":material/campaign:",
        )
    if me.role is not Role.ADMIN:
        return
    if told:
        _end(told)
    _add()


def _row(told: Announcement) -> dict[str, object]:
    now, zone = session.portal().now(), session.zone()
    return {
        "No.": told.id,
        "Announcement": told.text,
        "Level": told.level.capitalize(),
        "For": _audiences().get(told.audience, told.audience),
        "State": "Shown" if told.begins_at <= now else "Planned",
        "From": f"{told.begins_at.astimezone(zone):%Y-%m-%d %H:%M}",
        "Until": f"{told.ends_at.astimezone(zone):%Y-%m-%d %H:%M}",
    }


def _audiences() -> dict[str, str]:
    """Whom it may be for, and how that is called."""
    portal, me = session.portal(), session.user()
    called = {EVERYBODY: "Everybody"}
    called |= {f"{OF_ROLE}{role}": f"Everyone who is {bar.ROLES[role]}" for role in Role}
    called |= {f"{OF_GROUP}{each.whose}": f"Group {each.whose}" for each in groups.led(portal, me)}
    for use in vms.fleet(portal, me):
        called[f"{OF_VM}{use.vm.name}"] = f"Who has containers on {use.vm.name}"
    return called


def _add() -> None:
    zone, audiences = session.zone(), _audiences()
    now = session.portal().now().astimezone(zone).replace(second=0, microsecond=0, tzinfo=None)
    with st.form("announce", border=True):
        st.markdown("**Announce something**")
        text = st.text_area(
            "Text",
            key="announce-text",
            max_chars=MAX_LENGTH,
            placeholder="On Friday from 17:00 the registry is updated; starts take longer.",
        )
        with st.container(horizontal=True):
            level = st.selectbox(
                "Level",
                list(Level),
                format_func=str.capitalize,
                key="announce-level",
                help="An urgent one cannot be put away.",
            )
            audience = st.selectbox(
                "For", list(audiences), format_func=audiences.__getitem__, key="announce-for"
            )
        with st.container(horizontal=True):
            begins = st.datetime_input(f"From ({zone.key})", now, key="announce-from")
            ends = st.datetime_input(
                f"Until ({zone.key})", now + timedelta(days=7), key="announce-until"
            )
        if st.form_submit_button("Announce", type="primary") and begins and ends:
            frame.carry_out(
                lambda: announcements.add(
                    session.portal(),
                    session.user(),
                    text,
                    level or Level.INFO,
                    audience,
                    begins.replace(tzinfo=zone),
                    ends.replace(tzinfo=zone),
                ),
                "Announced.",
            )


def _end(told: list[Announcement]) -> None:
    texts = {each.id: f"{each.id}: {each.text[:60]}" for each in told}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox(
            "End an announcement",
            list(texts),
            format_func=texts.__getitem__,
            key="announcement",
            width=420,
        )
        if st.button("End", key="end-announcement", icon=":material/close:"):
            frame.carry_out(
                lambda: announcements.end(session.portal(), session.user(), chosen), "Ended."
            )


page()
