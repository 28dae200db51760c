"""My containers: one live component, which the api feeds with changes (board, front/)."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app_pages.parts import frame, front, order_form, session, vm_alarms

_containers = front.component("containers")


def page() -> None:
    """Rows act by the api; only another page comes here."""
    st.subheader("My containers")
    frame.show_problem()
    vm_alarms.at_home()
    deploy: Any = _containers(key="containers", on_deploy_change=lambda: None).get("deploy")
    if deploy:
        if deploy["image"]:
            st.session_state["image"] = deploy["image"]
        order_form.fill_in_like(deploy["like"])
        session.go_to("deploy")


page()
