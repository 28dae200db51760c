"""Users and quotas, for administrators: what everybody holds, of what they may."""

from __future__ import annotations

import streamlit as st
from portal import db
from portal.core.models import Quota, User
from portal.scheduling import quotas
from portal.users.permissions import Allowance

from app_pages.parts import frame, session

KINDS = {"gpus": "GPUs", "memory_gb": "Memory (GB)", "cpus": "CPUs", "deployments": "Containers"}


def page() -> None:
    """The page."""
    st.subheader("Users and quotas")
    portal = session.portal()
    with portal.database.reading() as tx:
        users = db.users.all_users(tx)
        allowances = [quotas.allowance(portal, tx, user) for user in users]
        rows = db.quotas.all_quotas(tx)
        groups = sorted(
            {user.group for user in users} - {""}
            | {key for scope, key in rows if scope == quotas.GROUP}
        )
        shared = {group: quotas.group_allowance(tx, group) for group in groups}
    table = [
        _row(user, one, own=(quotas.USER, user.subject) in rows)
        for user, one in zip(users, allowances, strict=True)
    ]
    st.dataframe(table, hide_index=True, width="stretch", key="users")
    if shared:
        st.markdown("**Groups** share what their quota allows.")
        st.dataframe(
            [_group(name, one) for name, one in shared.items()],
            hide_index=True,
            width="stretch",
            key="groups",
        )
    left, right = st.columns(2, gap="large")
    with left:
        _group_form(users)
    with right:
        _quota_form(users, groups, rows)


def _row(user: User, allowance: Allowance, *, own: bool) -> dict[str, object]:
    cells = {label: _held(allowance, kind) for kind, label in KINDS.items()}
    return {
        "User": user.display_name,
        "Subject": user.subject,
        "Role": user.role,
        "Group": user.group,
        **cells,
        "Quota": "their own" if own else "default",
    }


def _group(name: str, allowance: Allowance | None) -> dict[str, object]:
    if allowance is None:
        return {"Group": name, **dict.fromkeys(KINDS.values(), "no limit")}
    return {"Group": name, **{label: _held(allowance, kind) for kind, label in KINDS.items()}}


def _held(allowance: Allowance, kind: str) -> str:
    most = getattr(allowance, kind)
    limit = "no limit" if most >= quotas.UNLIMITED else f"{most:g}"
    return f"{getattr(allowance, f'{kind}_held'):g} of {limit}"


def _group_form(users: list[User]) -> None:
    names = {user.subject: user.display_name for user in users}
    with st.form("group-form", border=True):
        st.markdown("**Put a user into a group**")
        subject = st.selectbox("User", list(names), format_func=names.__getitem__, key="group-user")
        group = st.text_input("Group", key="group-name", help="Empty: no group.", max_chars=60)
        if st.form_submit_button("Save"):
            frame.carry_out(
                lambda: quotas.set_group(session.portal(), session.user(), subject, group)
            )


def _quota_form(users: list[User], groups: list[str], rows: dict[tuple[str, str], Quota]) -> None:
    names: dict[tuple[str, str], str] = {(quotas.DEFAULT, ""): "Everybody without their own"}
    names |= {(quotas.GROUP, group): f"Group {group} (shared)" for group in groups}
    names |= {(quotas.USER, user.subject): user.display_name for user in users}
    with st.container(border=True):
        st.markdown("**Set a quota**")
        who = st.selectbox("For", list(names), format_func=names.__getitem__, key="quota-for")
        known = rows.get(who, Quota())
        columns = st.columns(len(KINDS))
        values = {
            kind: column.number_input(
                label,
                0,
                None,
                _whole(getattr(known, kind)),
                key=f"quota-{who}-{kind}",
                placeholder="–",
            )
            for column, (kind, label) in zip(columns, KINDS.items(), strict=True)
        }
        st.caption(
            "An empty field does not limit here. Lowering a quota below what is held ends nothing; "
            "it only refuses what comes next."
        )
        with st.container(horizontal=True):
            if st.button("Save", type="primary", key="quota-save"):
                frame.carry_out(
                    lambda: quotas.set_quota(
                        session.portal(), session.user(), *who, Quota(**values)
                    )
                )
            if who in rows and st.button("Clear", key="quota-clear"):
                frame.carry_out(
                    lambda: quotas.set_quota(session.portal(), session.user(), *who, None)
                )


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


page()
