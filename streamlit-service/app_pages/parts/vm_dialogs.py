"""What is done to a VM: each in a dialog that says what follows."""

from __future__ import annotations

from datetime import timedelta

import streamlit as st
from portal import deployments
from portal.core.models import Vm
from portal.vms import draining
from portal.vms import service as fleet

from app_pages.parts import frame, session

GOES_ON, STOPS = "It keeps running", "It is stopped at a time"


def drain(vm: Vm) -> None:
    """No new containers; and, by a time, none at all."""

    def body() -> None:
        st.markdown(f"**{vm.name}** will take no new containers.")
        then = st.radio(
            "What runs there now",
            [GOES_ON, STOPS],
            index=int(vm.drain_by is not None),
            key="drain-then",
        )
        by, reason, zone = None, "", session.zone()
        if then == STOPS:
            later = session.portal().now().astimezone(zone) + timedelta(days=1)
            usual = later.replace(minute=0, second=0, microsecond=0)
            at = st.datetime_input(
                f"Empty by ({zone.key})",
                (vm.drain_by or usual).astimezone(zone).replace(tzinfo=None),
                key="drain-by",
            )
            by = at.replace(tzinfo=zone) if at else None
            reason = st.text_input(
                "Reason, for the owners",
                vm.drain_reason,
                key="drain-reason",
                max_chars=500,
                placeholder="Its GPUs are exchanged on Saturday",
            )
            st.caption(
                "Owners read it on their containers from now on. At that time what still runs is"
                " stopped; home folders are kept."
            )
        if frame.confirmed("Drain", "confirm-drain", loses=then == STOPS):
            frame.carry_out(
                lambda: draining.drain(session.portal(), session.user(), vm.name, by, reason),
                f"{vm.name} takes no new containers.",
            )

    frame.ask(f"Drain {vm.name}?", body)


def activate_unverified(name: str) -> None:
    """Let people onto a VM that nobody has tried."""

    def body() -> None:
        st.markdown(
            f"**{name}** was never verified: nobody has tested whether containers start on it, or"
            " whether its firewall isolates users from each other. Verify it first:"
        )
        st.code(f"docker compose exec worker python3 admin.py vm verify {name}", language=None)
        if frame.confirmed("Activate unverified", "confirm-activate", loses=True):
            frame.carry_out(lambda: draining.activate(session.portal(), session.user(), name))

    frame.ask(f"Activate {name}, unverified?", body)


def remove(name: str) -> None:
    """Take it out of the fleet."""

    def body() -> None:
        st.markdown(
            f"**{name}** will get no more containers, and its home folders can no longer be reached"
            " through the portal. Nothing on its disk is deleted; adding it again brings them back."
        )
        if frame.confirmed("Remove VM", "confirm-remove-vm", loses=True):
            frame.carry_out(lambda: fleet.remove(session.portal(), session.user(), name))

    frame.ask(f"Remove {name} from the fleet?", body)


def lost(name: str) -> None:
    """Take it out of the fleet with all that is recorded there."""

    def body() -> None:
        st.markdown(
            f"**{name}** does not answer. Mark it as lost only if it will not come back:\n\n"
            "- Its containers are recorded as stopped, and their owners see your reason.\n"
            "- GPUs, memory and quotas are free again. Home folders on it are lost with its disk.\n"
            "- If it comes back and is added again, its old containers are removed first."
        )
        reason = st.text_input("Reason, for the owners", key="lost-reason")
        if frame.confirmed("Mark as lost", "confirm-lost", loses=True):
            frame.carry_out(
                lambda: deployments.remove_lost_vm(session.portal(), session.user(), name, reason)
            )

    frame.ask(f"Mark {name} as lost?", body)
