"""What is wrong with VMs, with since when and the command: on VMs, and the gravest at home."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st
import wording
from portal import vms as fleet
from portal.core.models import Gpu, Vm, VmState
from portal.core.people import Role, User
from portal.vms import addresses
from portal.vms import health as vm_health
from portal.vms.health import Problem

from app_pages.parts import session

GpusOf = Mapping[int, list[Gpu]]
"""By the VM's id."""
SAY_EACH = 3
"""VMs with the same kind of trouble that are listed one by one."""
AT_HOME = 2
LOOK_AGAIN_S = 10.0
"""At home what is told may be so old."""
AWAY = ":material/cloud_off:"
ICONS = {
    "isolation": "lock_open",
    "firewall": "shield",
    "disk": "hard_drive",
    "clock": "schedule",
    "ports": "lan",
}


def at_home() -> None:
    """For administrators, on the page that they see first: VMs that are away, or gravely ill."""
    user = session.user()
    if user.role is not Role.ADMIN:
        return
    ill = _ill(user)
    for icon, text in ill[:AT_HOME]:
        st.error(text, icon=icon)
    if ill and st.button(
        f"{len(ill) - AT_HOME} more on the VMs page" if len(ill) > AT_HOME else "Go to VMs",
        icon=":material/dns:",
        type="tertiary",
    ):
        session.go_to("vms")


@st.cache_data(ttl=LOOK_AGAIN_S, show_spinner=False)
def _ill(_admin: User) -> list[tuple[str, str]]:
    """Icon and words of each."""
    portal = session.portal()
    now, ill = portal.now(), list[tuple[str, str]]()
    for use in fleet.fleet(portal, _admin):
        if not use.vm.reachable:
            ill.append((AWAY, _unreachable(use.vm)))
            continue
        ill += [
            (f":material/{ICONS[problem.kind]}:", wording.with_command(problem))
            for problem in vm_health.of_vm(use.vm, now)
            if problem.grave
        ]
    return ill


def show(vms: Sequence[Vm], gpus_of: GpusOf) -> None:
    """All that is wrong, the same trouble of many VMs once."""
    now = session.portal().now()
    for vm in vms:
        if not vm.reachable:
            st.error(_unreachable(vm), icon=AWAY)
        if vm.state is VmState.NEW:
            st.info(
                f"**{vm.name} takes no containers yet.** It is being prepared, or its verification"
                f" failed. Try: `docker compose exec worker python3 admin.py vm verify {vm.name}`",
                icon=":material/pending:",
            )
        for problem in vm_health.gpu_problems(vm, gpus_of[vm.id]):
            st.warning(wording.with_command(problem), icon=":material/build:")
    groups: dict[tuple[object, ...], list[tuple[Vm, Problem]]] = {}
    for vm in (vm for vm in vms if vm.reachable):
        for problem in vm_health.of_vm(vm, now):
            # The grave ones first, and what somebody broke before what was never prepared.
            key = (
                not problem.grave,
                list(ICONS).index(problem.kind),
                problem.from_portal,
                "" if problem.from_portal else problem.hint,
            )
            groups.setdefault(key, []).append((vm, problem))
    for _, alike in sorted(groups.items(), key=lambda group: group[0]):
        _troubles(alike)


def _troubles(troubles: list[tuple[Vm, Problem]]) -> None:
    """Each problem with its command; of many alike only the first."""
    shown = troubles if len(troubles) <= SAY_EACH else troubles[:1]
    for _, trouble in shown:
        say = st.error if trouble.grave else st.warning
        others = ", ".join(vm.name for vm, _ in troubles[1:]) if len(shown) < len(troubles) else ""
        also = f" The same applies to **{len(troubles) - 1} more VMs**: {others}." if others else ""
        say(
            f"{wording.with_command(trouble)}{also}",
            icon=f":material/{ICONS[trouble.kind]}:",
        )


def _unreachable(vm: Vm) -> str:
    seen = vm.last_seen_at
    since = (
        f"Last seen {wording.ago(seen, session.portal().now())}. Its containers may still be"
        " running."
        if seen
        else "It has never been reached."
    )
    return (
        f"**{vm.name} cannot be reached.** {wording.literal(vm.error or '')} {since}"
        f" Try: `{addresses.on(vm, 'systemctl status docker ssh')}`"
    )
