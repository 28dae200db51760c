"""Users and quotas, for administrators: what everybody holds, of what they may."""

from __future__ import annotations

from datetime import datetime

import streamlit as st
import wording
from portal import users
from portal.core.people import Account, Role, User
from portal.deployments import addresses
from portal.scheduling import groups, quotas
from portal.scheduling.quotas import Allowance, Rows, limits_of

from app_pages.parts import account_dialogs, amounts, frame, session, tables


def page() -> None:
    st.subheader("Users and quotas")
    portal, me = session.portal(), session.user()
    everybody, rows = quotas.everybody(portal, me), quotas.all_quotas(portal, me)
    names = [each.whose for each in groups.led(portal, me)]
    table = [
        _row(user, allowance, portal.now(), own=(quotas.USER, user.subject) in rows)
        for user, allowance in everybody
    ]
    tables.choose_from(
        table,
        [_means(user) for user, _ in everybody],
        key="users",
        bars=amounts.BARS,
        several=True,
    )
    if me.role is not Role.ADMIN:
        return
    left, right = st.columns(2, gap="large")
    with left:
        _group_form([user for user, _ in everybody])
        account_dialogs.show([user for user, _ in everybody])
    with right:
        _quota_form([user for user, _ in everybody], names, rows)


def _means(user: User) -> dict[str, object]:
    """What choosing somebody's row fills in."""
    subject = user.subject
    return {"quota-for": (quotas.USER, subject), "group-users": [subject], "account": subject}


def _row(user: User, allowance: Allowance, now: datetime, *, own: bool) -> dict[str, object]:
    return {
        "User": _name(user),
        "Subject": user.subject,
        "Role": user.role,
        "Groups": ", ".join(user.groups),
        "Ports": _ports(user),
        "Last seen": wording.ago(user.last_seen_at, now) if user.last_seen_at else "",
        "Quota": "Custom" if own else "Default",
        **amounts.cells(allowance),
    }


def _name(user: User) -> str:
    account = users.account(session.portal(), user)
    return user.display_name if account is Account.ACTIVE else f"{user.display_name} ({account})"


def _ports(user: User) -> str:
    if user.retired_at:
        return "retired"
    if user.range_index is None:
        return "none yet"
    return addresses.of_person(session.portal().settings, user)


def _group_form(people: list[User]) -> None:
    names = {user.subject: _name(user) for user in people}
    with st.form("group-form", border=True):
        st.markdown("**Assign users to a group**")
        subjects = st.multiselect(
            "Users",
            list(names),
            format_func=names.__getitem__,
            key="group-users",
            placeholder="Choose rows above, or users here",
        )
        group = st.text_input("Group", key="group-name", help="Empty: no group.", max_chars=60)
        if st.form_submit_button("Save"):
            if not subjects:
                st.warning("Choose at least one user first.", icon=":material/info:")
                return
            frame.carry_out(lambda: _set_group(subjects, group))


def _set_group(subjects: list[str], group: str) -> None:
    for subject in subjects:
        users.set_group(session.portal(), session.user(), subject, group)


def _quota_form(known_users: list[User], groups: list[str], rows: Rows) -> None:
    names: dict[tuple[str, str], str] = {(quotas.DEFAULT, ""): "Default (everyone else)"}
    names |= {(quotas.GROUP, group): f"Group {group} (shared)" for group in groups}
    names |= {(quotas.USER, user.subject): _name(user) for user in known_users}
    settings = session.portal().settings
    usual = limits_of(settings, rows.get((quotas.DEFAULT, "")), None)
    with st.container(border=True):
        st.markdown("**Set a quota**")
        who = st.selectbox("For", list(names), format_func=names.__getitem__, key="quota-for")
        amounts.quota_form(
            who,
            rows.get(who),
            lambda amount: "no limit" if who[0] == quotas.GROUP else f"{amount.of(usual):g}",
            "quota",
        )


page()
