"""SSH keys: which keys open one's containers by SSH: the card's, and those added here."""

from __future__ import annotations

import streamlit as st
import wording
from portal import users
from portal.core.errors import PortalError
from portal.core.people import SshKey
from portal.users import ssh_keys

from app_pages.parts import frame, session


def page() -> None:
    st.subheader("SSH keys")
    user = session.user()
    cards = users.cards(session.portal(), user)
    st.markdown(
        "These keys open the containers that you deploy **with SSH**. Changes take effect the next"
        " time a container starts."
    )
    with st.container(border=True):
        if cards:
            st.markdown(
                ":green-badge[:material/badge: Your smart card] works without adding a key, until"
                " its certificate expires; SSH asks for its PIN."
            )
            lines = [
                f"{ssh_keys.fingerprint(card.ssh_key)}  ({card.ssh_key.split()[0]})"
                + (f", until {card.not_after:%Y-%m-%d}" if card.not_after else "")
                for card in cards
            ]
            st.code("\n".join(lines), language=None, wrap_lines=True)
        else:
            st.markdown("SSH does not support the type of key on your card. Add a key below.")
    frame.show_problem()
    for key in user.ssh_keys:
        _key(key)
    with (
        st.expander("Add a public key", icon=":material/add:", key="add-key-folded"),
        st.form("add-key", border=False, clear_on_submit=False),
    ):
        added = st.session_state.get("keys-added", 0)
        name = st.text_input("Name", key=f"key-name-{added}", max_chars=60, placeholder="Laptop")
        text = st.text_area(
            "Public key",
            key=f"key-text-{added}",
            placeholder="ssh-ed25519 AAAA… you@laptop",
            help="The line in ~/.ssh/id_ed25519.pub; ssh-keygen -t ed25519 makes a pair",
        )
        if st.form_submit_button("Add", icon=":material/add:"):
            frame.carry_out(lambda: _add(name, text), "Added.")


def _add(name: str, text: str) -> None:
    try:
        users.add_key(session.portal(), session.user(), name, text)
    except PortalError as error:
        if error.code != "private_key":
            raise
        st.session_state["problem"] = error
        _begin_anew()  # it stays on no screen
        st.rerun()
    _begin_anew()


def _begin_anew() -> None:
    """Empty fields."""
    st.session_state["keys-added"] = st.session_state.get("keys-added", 0) + 1


def _key(key: SshKey) -> None:
    with st.container(
        border=True, horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    ):
        st.markdown(
            f"**{wording.literal(key.name)}**"
            f" · added {wording.added(key.added_at, session.portal().now())}  \n"
            f":small[`{key.fingerprint}`]",
            width="content",
        )
        if st.button("Remove …", key=f"remove-{key.fingerprint}", icon=":material/delete:"):
            _remove(key)


def _remove(key: SshKey) -> None:
    def body() -> None:
        st.markdown(
            f"**{wording.literal(key.name)}** will not open containers that start from now on."
            " To undo this, add it again."
        )
        if frame.confirmed("Remove key", "confirm-remove-key", loses=True):
            frame.carry_out(
                lambda: users.remove_key(session.portal(), session.user(), key.fingerprint),
                "Removed.",
            )

    frame.ask(f"Remove the key {wording.literal(key.name)}?", body)


page()
