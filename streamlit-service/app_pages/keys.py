"""SSH keys: which keys open one's containers by SSH: the card's, and those added here."""

from __future__ import annotations

import streamlit as st
import wording
from portal import users
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
                " its certificate ends; SSH asks for its PIN."
            )
            lines = [
                f"{ssh_keys.fingerprint(card.ssh_key)}  ({card.ssh_key.split()[0]})"
                + (f", until {card.not_after:%Y-%m-%d}" if card.not_after else "")
                for card in cards
            ]
            st.code("\n".join(lines), language=None, wrap_lines=True)
        else:
            st.markdown("SSH does not support your card's kind of key. Add one below.")
    for key in user.ssh_keys:
        _key(key)
    with (
        st.expander("Add a public key", icon=":material/add:", key="add-key-folded"),
        st.form("add-key", border=False, clear_on_submit=False),
    ):
        name = st.text_input("Name", key="key-name", max_chars=60, placeholder="Laptop")
        text = st.text_area(
            "Public key",
            key="key-text",
            placeholder="ssh-ed25519 AAAA… you@laptop",
            help="The line in ~/.ssh/id_ed25519.pub; ssh-keygen -t ed25519 makes a pair",
        )
        if st.form_submit_button("Add", icon=":material/add:"):
            frame.carry_out(lambda: users.add_key(session.portal(), session.user(), name, text))


def _key(key: SshKey) -> None:
    with st.container(
        border=True, horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    ):
        st.markdown(
            f"**{key.name}** · added {wording.added(key.added_at, session.portal().now())}  \n"
            f":small[`{key.fingerprint}`]",
            width="content",
        )
        st.button(
            "Remove",
            key=f"remove-{key.fingerprint}",
            icon=":material/delete:",
            on_click=frame.try_to,
            args=(users.remove_key, key.fingerprint),
            help="Add it again to undo this.",
        )


page()
