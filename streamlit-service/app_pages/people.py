"""Users and quotas, for administrators: what everybody holds, of what they may."""

from __future__ import annotations

import streamlit as st
from portal import users
from portal.core import ports
from portal.core.people import User
from portal.core.resources import AMOUNTS, UNLIMITED, Amount, Quota
from portal.scheduling import quotas
from portal.scheduling.quotas import Allowance, Rows
from streamlit.delta_generator import DeltaGenerator

from app_pages.parts import account_dialogs, frame, session, tables

_BARS = tuple(f"{amount.noun}, of the quota" for amount in AMOUNTS)


def page() -> None:
    st.subheader("Users and quotas")
    portal, me = session.portal(), session.user()
    everybody, groups = quotas.everybody(portal, me), quotas.groups(portal, me)
    rows = quotas.all_quotas(portal, me)
    table = [
        _row(user, allowance, own=(quotas.USER, user.subject) in rows)
        for user, allowance in everybody
    ]
    tables.choose_from(
        table,
        [_means(user) for user, _ in everybody],
        key="users",
        bars=_BARS,
        several=True,
    )
    if groups:
        st.markdown("**Groups** share what their quota allows.")
        tables.choose_from(
            [_group(name, allowance) for name, allowance in groups.items()],
            [{"quota-for": (quotas.GROUP, name), "old-group": name} for name in groups],
            key="groups",
            bars=_BARS,
        )
    left, right = st.columns(2, gap="large")
    with left:
        _group_form([user for user, _ in everybody])
        account_dialogs.show([user for user, _ in everybody], list(groups))
    with right:
        _quota_form([user for user, _ in everybody], list(groups), rows)


def _means(user: User) -> dict[str, object]:
    """What choosing somebody's row fills in."""
    subject = user.subject
    return {"quota-for": (quotas.USER, subject), "group-users": [subject], "account": subject}


def _row(user: User, allowance: Allowance, *, own: bool) -> dict[str, object]:
    return {
        "User": user.display_name,
        "Subject": user.subject,
        "Role": user.role,
        "Group": user.group,
        "Ports": _ports(user),
        **_cells(allowance),
        "Quota": "Custom" if own else "Default",
    }


def _ports(user: User) -> str:
    if user.retired_at:
        return f"retired: {user.retired_reason}"
    if user.range_index is None:
        return "none yet"
    span = ports.range_of(user.range_index)
    return f"{span[0]}-{span[-1]}"


def _group(name: str, allowance: Allowance) -> dict[str, object]:
    return {"Group": name, **_cells(allowance)}


def _cells(allowance: Allowance) -> dict[str, object]:
    """What is held, and as a bar of what is allowed, for each amount."""
    cells: dict[str, object] = {}
    for amount in AMOUNTS:
        held, most = amount.of(allowance.held), amount.of(allowance.limits)
        cells[_label(amount)] = held
        cells[f"{amount.noun}, of the quota"] = tables.percent(
            held, None if most >= UNLIMITED else most
        )
    return cells


def _label(amount: Amount) -> str:
    return f"{amount.noun} ({amount.unit.strip()})" if amount.unit else amount.noun


def _group_form(people: list[User]) -> None:
    names = {user.subject: user.display_name for user in people}
    with st.form("group-form", border=True):
        st.markdown("**Change the group of users**")
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
    names |= {(quotas.USER, user.subject): user.display_name for user in known_users}
    with st.container(border=True):
        st.markdown("**Set a quota**")
        who = st.selectbox("For", list(names), format_func=names.__getitem__, key="quota-for")
        quota = rows.get(who, Quota())
        columns = st.columns(len(AMOUNTS))
        values = {
            # The fields begin anew when the quota was changed, here or elsewhere.
            amount.name: _limit(column, amount, getattr(quota, amount.name), f"quota-{who}-{quota}")
            for column, amount in zip(columns, AMOUNTS, strict=True)
        }
        st.caption(
            "Leave a field empty for no limit of its own. Lowering a quota does not stop running"
            " containers; it only blocks new ones."
        )
        with st.container(horizontal=True):
            if st.button("Save", type="primary", key="quota-save"):
                changes = {
                    name: value for name, value in values.items() if value != getattr(quota, name)
                }
                frame.carry_out(
                    lambda: quotas.change_quota(session.portal(), session.user(), *who, changes)
                )
            if who in rows and st.button("Clear", key="quota-clear"):
                frame.carry_out(
                    lambda: quotas.set_quota(session.portal(), session.user(), *who, None)
                )


def _limit(column: DeltaGenerator, amount: Amount, value: float | None, key: str) -> float | None:
    """A field for one amount: what has fractions keeps them."""
    number = float if amount.minimum else int
    limit: float | None = column.number_input(
        _label(amount),
        number(0),
        None,
        None if value is None else number(value),
        step=number(1),
        format="%g" if amount.minimum else "%d",
        key=f"{key}-{amount.name}",
        placeholder="–",
    )
    return limit


page()
