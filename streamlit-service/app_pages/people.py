"""Users and quotas, for administrators: what everybody holds, of what they may."""

from __future__ import annotations

from datetime import datetime

import streamlit as st
import wording
from portal import users
from portal.core import ports
from portal.core.people import Account, User
from portal.core.resources import AMOUNTS, UNLIMITED, Amount, Quota
from portal.scheduling import quotas
from portal.scheduling.quotas import Allowance, Rows, limits_of
from streamlit.delta_generator import DeltaGenerator

from app_pages.parts import account_dialogs, frame, session, tables

_BARS = tuple(f"{amount.noun}, share of quota" for amount in AMOUNTS)


def page() -> None:
    st.subheader("Users and quotas")
    portal, me = session.portal(), session.user()
    everybody, groups = quotas.everybody(portal, me), quotas.groups(portal, me)
    rows = quotas.all_quotas(portal, me)
    table = [
        _row(user, allowance, portal.now(), own=(quotas.USER, user.subject) in rows)
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
        st.markdown("Members of a **group** share its quota.")
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


def _row(user: User, allowance: Allowance, now: datetime, *, own: bool) -> dict[str, object]:
    return {
        "User": _name(user),
        "Subject": user.subject,
        "Role": user.role,
        "Group": user.group,
        "Ports": _ports(user),
        "Last seen": wording.ago(user.last_seen_at, now) if user.last_seen_at else "",
        "Quota": "Custom" if own else "Default",
        **_cells(allowance),
    }


def _name(user: User) -> str:
    account = users.account(session.portal(), user)
    return user.display_name if account is Account.ACTIVE else f"{user.display_name} ({account})"


def _ports(user: User) -> str:
    if user.retired_at:
        return "retired"
    if user.range_index is None:
        return "none yet"
    span = ports.range_of(user.range_index)
    return f"{span[0]}-{span[-1]}"


def _group(name: str, allowance: Allowance) -> dict[str, object]:
    return {"Group": name, **_cells(allowance)}


def _cells(allowance: Allowance) -> dict[str, object]:
    """What is held and allowed, and as a bar, for each amount."""
    cells: dict[str, object] = {}
    for amount in AMOUNTS:
        held, most = amount.of(allowance.held), amount.of(allowance.limits)
        cells[_label(amount)] = f"{held:g} of {most:g}" if most < UNLIMITED else f"{held:g}"
        cells[f"{amount.noun}, share of quota"] = tables.percent(
            held, None if most >= UNLIMITED else most
        )
    return cells


def _label(amount: Amount) -> str:
    return f"{amount.noun} ({amount.unit.strip()})" if amount.unit else amount.noun


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
        quota = rows.get(who, Quota())
        columns = st.columns(len(AMOUNTS))
        values = {
            # The fields begin anew when the quota was changed, here or elsewhere.
            amount.name: _limit(
                column,
                amount,
                getattr(quota, amount.name),
                "no limit" if who[0] == quotas.GROUP else f"{amount.of(usual):g}",
                f"quota-{who}-{quota}",
            )
            for column, amount in zip(columns, AMOUNTS, strict=True)
        }
        st.caption(
            "An empty field means the default, shown in grey. Lowering a quota does not stop"
            " running containers; it only limits new ones."
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


def _limit(
    column: DeltaGenerator, amount: Amount, value: float | None, otherwise: str, key: str
) -> float | None:
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
        placeholder=otherwise,
    )
    return limit


page()
