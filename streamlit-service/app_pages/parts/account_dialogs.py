"""What administrators correct in an account: each in a dialog that says what follows."""

from __future__ import annotations

import streamlit as st
import wording
from portal import deployments, users
from portal.core.people import Account, Role, User
from portal.users import certificates, ranges

from app_pages.parts import frame, session, tables


def show(people: list[User]) -> None:
    """Choose whom, then what."""
    by_subject = {user.subject: user for user in people}
    with st.container(border=True):
        st.markdown("**Change an account**")
        subject = st.selectbox(
            "User",
            list(by_subject),
            format_func=lambda key: _called(by_subject[key]),
            key="account",
        )
        user = by_subject[subject]
        with st.container(horizontal=True):
            if st.button("Rename …", icon=":material/edit:", key="rename"):
                _rename(user)
            if st.button("Change role …", icon=":material/badge:", key="role"):
                _role(user)
            if st.button("Cards …", icon=":material/id_card:", key="cards"):
                _cards(user)
            if not user.is_service and st.button("Merge …", icon=":material/merge:", key="merge"):
                _merge(user)
            if (others := users.other_names(session.portal(), session.user(), user)) and st.button(
                "Undo merge …", icon=":material/call_split:", key="unmerge"
            ):
                _unmerge(user, others)
            _give_back(user)


def _give_back(user: User) -> None:
    """Ports, and the account itself."""
    if user.range_index is not None and st.button(
        "Free the ports …", icon=":material/lan:", key="free-ports"
    ):
        _free(user)
    account = users.account(session.portal(), user)
    if account is Account.ACTIVE:
        if st.button("End sessions …", icon=":material/logout:", key="end-sessions"):
            _end_sessions(user)
        if st.button("Disable …", icon=":material/block:", key="disable"):
            _disable(user)
    elif account is not Account.RETIRED and st.button(
        "Enable", icon=":material/person_check:", key="enable"
    ):
        frame.carry_out(
            lambda: users.enable(session.portal(), session.user(), user.subject), "Enabled."
        )
    if user.retired_at is None:
        if st.button("Retire …", icon=":material/person_off:", key="retire"):
            _retire(user)
    elif st.button("Restore", icon=":material/person_check:", key="restore"):
        frame.carry_out(
            lambda: users.restore(session.portal(), session.user(), user.subject), "Restored."
        )


def _name(user: User) -> str:
    """As their card has it, whatever that is."""
    return wording.literal(user.display_name)


def _subject(user: User) -> str:
    return wording.literal(user.subject)


def _called(user: User) -> str:
    account = users.account(session.portal(), user)
    why = user.retired_reason or user.disabled_reason
    state = "" if account is Account.ACTIVE else f", {account}{f': {why}' if why else ''}"
    return f"{user.display_name} ({user.subject}){state}"


def _role(user: User) -> None:
    def body() -> None:
        st.markdown(
            f"Current role of {_name(user)}: {user.role}. Anyone whom `PORTAL_ADMINS` or"
            " `PORTAL_CURATORS` names keeps that role regardless."
        )
        roles = list(Role)
        role = st.selectbox("Role", roles, index=roles.index(user.role), key="new-role")
        if frame.confirmed("Save", "confirm-role", loses=False):
            frame.carry_out(
                lambda: users.set_role(session.portal(), session.user(), user.subject, role)
            )

    frame.ask(f"Change the role of {_name(user)}", body)


def _rename(user: User) -> None:
    def body() -> None:
        st.markdown(f"This name is kept until the name on the card of {_subject(user)} changes.")
        name = st.text_input("Name", user.display_name, max_chars=64, key="new-name")
        if frame.confirmed("Save", "confirm-rename", loses=False):
            frame.carry_out(
                lambda: users.rename(session.portal(), session.user(), user.subject, name)
            )

    frame.ask(f"Correct the name of {_name(user)}", body)


def _cards(user: User) -> None:
    def body() -> None:
        portal, zone = session.portal(), session.zone()
        seen = certificates.of_user(portal, session.user(), user.subject)
        tables.draw(
            [
                {
                    "State": card.state,
                    "Issued by": card.issuer,
                    "Serial number": card.serial,
                    "Valid until": card.not_after and card.not_after.astimezone(zone),
                    "Last used": card.last_seen_at and card.last_seen_at.astimezone(zone),
                    "From": card.last_address,
                    "Fingerprint (SHA-256)": card.fingerprint,
                }
                for card in seen
            ],
        )
        st.caption(
            "Each card that is good opens pages, notebooks and SSH. *Last used* is to the hour. To"
            " shut out one card, have its authority revoke it; to shut out the person, disable the"
            " account."
        )

    frame.ask(f"Cards of {_name(user)}", body)


def _merge(user: User) -> None:
    def body() -> None:
        st.markdown(
            f"From now on, whoever signs in with the other subject becomes **{_name(user)}**"
            f" ({_subject(user)}), with the ports, containers, home folders and quota of this"
            " account. The other account must have no containers; its keys move along, its home"
            " folder does not."
        )
        other = st.text_input(
            "The other subject", key="other-subject", placeholder="upn:jane.smith@example.org"
        )
        if frame.confirmed("Merge accounts", "confirm-merge", loses=True, disabled=not other):
            frame.carry_out(
                lambda: users.merge(session.portal(), session.user(), user.subject, other.strip())
            )

    frame.ask(f"Merge another account into {_name(user)}?", body)


def _unmerge(user: User, others: list[str]) -> None:
    def body() -> None:
        st.markdown(
            f"Whoever signs in with this subject is no longer **{_name(user)}**"
            f" ({_subject(user)})."
            " Their keys, cards and past usage go with them; containers, home folders, VMs and"
            " quota stay with this account."
        )
        other = st.selectbox("The other subject", others, key="no-longer")
        if frame.confirmed("Undo merge", "confirm-unmerge", loses=True):
            frame.carry_out(lambda: users.unmerge(session.portal(), session.user(), other))

    frame.ask(f"Undo a merge into {_name(user)}?", body)


def _free(user: User) -> None:
    def body() -> None:
        st.markdown(
            f"**{_name(user)}** gets new ports with the next container, so old bookmarks stop"
            " working. This is not possible while they still have containers."
        )
        if frame.confirmed("Free ports", "confirm-free", loses=True):
            frame.carry_out(lambda: ranges.free(session.portal(), session.user(), user.subject))

    frame.ask(f"Free the ports of {_name(user)}?", body)


def _disable(user: User) -> None:
    def body() -> None:
        st.markdown(
            f"**{_name(user)}** is out within seconds: pages, notebooks and SSH connections"
            " end, and sign-in is refused until somebody enables the account. Files, ports and"
            " quota are kept."
        )
        reason = st.text_input("Reason", key="disable-reason", max_chars=500)
        stop = st.checkbox("Stop their containers, too", key="disable-stop")
        if frame.confirmed("Disable", "confirm-disable", loses=True):
            frame.carry_out(
                lambda: deployments.disable(
                    session.portal(), session.user(), user.subject, reason, stop=stop
                )
            )

    frame.ask(f"Disable {_name(user)}?", body)


def _end_sessions(user: User) -> None:
    def body() -> None:
        st.markdown(
            f"Everything that **{_name(user)}** has open ends: pages, notebook connections"
            " and SSH. Containers keep running, and they may sign in again at once."
        )
        reason = st.text_input("Reason", key="end-reason", max_chars=500)
        if frame.confirmed("End sessions", "confirm-end", loses=True):
            frame.carry_out(
                lambda: users.end_sessions(session.portal(), session.user(), user.subject, reason)
            )

    frame.ask(f"End all sessions of {_name(user)}?", body)


def _retire(user: User) -> None:
    def body() -> None:
        st.markdown(
            f"**{_name(user)}** can no longer sign in, and their containers are removed."
            " Home folders stay on their VMs. Once the containers are gone, the ports are free for"
            " others. *Restore* lets the user sign in again."
        )
        reason = st.text_input("Reason", key="retire-reason", max_chars=500)
        if frame.confirmed("Retire", "confirm-retire", loses=True):
            frame.carry_out(
                lambda: deployments.retire(session.portal(), session.user(), user.subject, reason)
            )

    frame.ask(f"Retire {_name(user)}?", body)
