"""VMs, for administrators: what is unhealthy first, who has which, assign, drain, remove."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

import streamlit as st
import wording
from portal import deployments
from portal.context import Portal
from portal.core.errors import PortalError
from portal.core.isolation import Isolation
from portal.core.models import Deployment, Gpu, GpuState, Vm, VmState
from portal.core.people import Role, User
from portal.deployments import lifecycle
from portal.scheduling import quotas
from portal.users.permissions import SHARED_POOL
from portal.vms import draining, gpus, isolation
from portal.vms import health as vm_health
from portal.vms import service as fleet
from portal.vms.service import VmUse

from app_pages.parts import frame, session, tables, vm_alarms, vm_dialogs
from app_pages.parts.vm_alarms import GpusOf

CHOSEN = "vms-chosen"
SHARED = "The shared pool"
FIREWALL = {"ok": "● on", "": "not known"}


def page() -> None:
    st.subheader("VMs")
    portal = session.portal()
    uses = fleet.fleet(portal, session.user())
    vms = [use.vm for use in uses]
    if not vms:
        st.info(
            "There are no VMs yet. Containers run on VMs; prepare the first one from"
            " the portal's machine: `scripts/setup-vm.sh HOST`",
            icon=":material/dns:",
        )
        return
    now, seen = portal.now(), gpus.overview(portal, session.user())
    gpus_of = {vm.id: [each.gpu for each in seen if each.vm.id == vm.id] for vm in vms}
    vm_alarms.show(vms, gpus_of)
    _stuck()
    uses.sort(key=lambda use: (_well(use.vm, now), use.vm.name))
    tables.choose_from(
        [_row(use) for use in uses],
        [{"vm": use.vm.name, CHOSEN: [use.vm.name]} for use in uses],
        key="vms",
        bars=("GPUs in use", "Memory in use"),
        several=True,
    )
    _isolation(vms)
    if session.user().role is not Role.ADMIN:
        return
    names = st.session_state.get(CHOSEN, [])
    chosen = [vm for vm in vms if vm.name in names]
    if len(chosen) > 1:
        _change_several(chosen)
    else:
        _change(vms, gpus_of)


def _row(use: VmUse) -> dict[str, object]:
    vm = use.vm
    return {
        "VM": vm.name,
        "State": _state(vm),
        "Assigned to": use.owner.display_name if use.owner else f"pool {vm.pool}",
        "Containers": use.containers,
        "GPUs": use.gpus,
        "GPUs in use": tables.percent(use.leased_gpus, use.gpus),
        "Memory (GB)": vm.memory_gb,
        "Memory in use": tables.percent(use.held_memory_gb, vm.memory_gb),
        "CPUs": vm.cpus,
        "Driver": vm.driver or "",
        "CUDA": vm.cuda or "",
        "Firewall": FIREWALL.get(vm.firewall or "", "✕ " + (vm.firewall or "").replace("_", " ")),
        "Disk free (GB)": vm.disk_free_gb,
        "GPU access": vm.gpu_access or (vm.gpu_problem or "no GPU").replace("_", " "),
    }


def _well(vm: Vm, now: datetime) -> bool:
    return vm.reachable and not vm.gpu_problem and not vm_health.of_vm(vm, now)


def _state(vm: Vm) -> str:
    if not vm.reachable:
        return "✕ unreachable"
    if vm.drain_by:
        return f"◐ empty by {vm.drain_by.astimezone(session.zone()):%a %d %b %H:%M}"
    return {VmState.DRAINING: "◐ draining", VmState.NEW: "◌ new"}.get(vm.state, "● active")


def _isolation(vms: list[Vm]) -> None:
    """What containers of two made-up people reached on each, cell by cell."""
    measured = isolation.last(session.portal(), session.user())
    known = {vm.name: measured[vm.id] for vm in vms if vm.id in measured}
    if not known:
        return
    broken = sum(bool(each.breaches) for each in known.values())
    title = f"Isolation, measured: {broken} of {len(known)} VMs broken" if broken else "Isolation"
    with st.expander(title, icon=":material/lock_open:" if broken else ":material/lock:"):
        tables.draw(
            [row for name, each in known.items() for row in _cells(name, each)],
            key="isolation",
            placeholder="–",
        )


def _cells(name: str, measured: Isolation) -> list[dict[str, object]]:
    """A row for each of the two, with what it reached."""
    when = wording.ago(measured.at, session.portal().now())
    if measured.problem:
        return [{"VM": name, "Measured": when, "From": f"not measured: {measured.problem}"}]
    rows: dict[str, dict[str, object]] = {}
    for cell in measured.cells:
        row = rows.setdefault(cell.source, {"VM": name, "Measured": when, "From": cell.source})
        row[cell.target.capitalize()] = "✕ OPEN" if cell.is_breach else cell.state
    return list(rows.values())


def _change_several(vms: list[Vm]) -> None:
    """What makes sense for many at once; a rack that is to be serviced, say."""

    def each(change: Callable[[Portal, User, str], object], of: list[Vm]) -> None:
        """All that can be; then, where one could not, why."""
        failures = []
        for vm in of:
            try:
                change(session.portal(), session.user(), vm.name)
            except PortalError as error:
                failures.append(error)
        if failures:
            raise failures[0]

    active = [vm for vm in vms if vm.state is VmState.ACTIVE]
    others = [vm for vm in vms if vm.state is VmState.DRAINING]  # new ones are verified first
    with st.container(border=True):
        st.markdown(f"**{len(vms)} VMs:** {', '.join(vm.name for vm in vms)}")
        with st.container(horizontal=True):
            if active and st.button(
                f"Drain {wording.plural(len(active), 'VM')}",
                key="drain-several",
                icon=":material/do_not_disturb_on:",
                help="No new containers; running ones keep running.",
            ):
                frame.carry_out(partial(each, draining.drain, active))
            if others and st.button(
                f"Activate {wording.plural(len(others), 'VM')}",
                key="activate-several",
                icon=":material/play_circle:",
            ):
                frame.carry_out(partial(each, draining.activate, others))


def _change(vms: list[Vm], gpus_of: GpusOf) -> None:
    chosen = st.selectbox(
        "Change a VM",
        [vm.name for vm in vms],
        key="vm",
        index=None,
        placeholder="Choose a row above, or a VM here",
    )
    vm = next((vm for vm in vms if vm.name == chosen), None)
    if vm is None:
        return
    with st.container(border=True):
        owner, pool = _for_whom(vm)
        with st.container(horizontal=True):
            if st.button("Assign", key="assign", icon=":material/person_add:"):
                frame.carry_out(
                    lambda: fleet.assign(
                        session.portal(), session.user(), vm.name, owner=owner, pool=pool
                    )
                )
            _take_out_of_service(vm)
        _missing_gpus(vm, gpus_of[vm.id])


def _for_whom(vm: Vm) -> tuple[str | None, str]:
    """(the owner's subject, the pool) as chosen."""
    people = {user.id: user for user, _ in quotas.everybody(session.portal(), session.user())}
    names: dict[int | str, str] = {user.id: user.display_name for user in people.values()}
    options: list[int | str] = [SHARED, *names, "pool"]
    labels: dict[int | str, str] = {SHARED: SHARED, "pool": "A group's pool", **names}
    whose = st.selectbox(
        "Assign to",
        options,
        index=options.index(vm.owner_id or (SHARED if vm.pool == SHARED_POOL else "pool")),
        key=f"whose-{vm.name}",
        format_func=labels.__getitem__,
    )
    pool = SHARED_POOL
    if whose == "pool":
        pool = st.text_input(
            "Group",
            "" if vm.pool == SHARED_POOL else vm.pool,
            key=f"pool-{vm.name}",
            help="Only members of the group with this name use the VM.",
        )
    return people[whose].subject if isinstance(whose, int) else None, pool


def _missing_gpus(vm: Vm, gpus_of_vm: list[Gpu]) -> None:
    for gpu in gpus_of_vm:
        if gpu.state is GpuState.MISSING and st.button(
            f"Forget missing GPU {gpu.index}",
            key=f"forget-{gpu.uuid}",
            icon=":material/memory_alt:",
            help=f"{wording.literal(gpu.model)}, {gpu.uuid}: for a GPU taken out on purpose. If the"
            " VM reports it again, it reappears.",
        ):
            frame.carry_out(
                partial(gpus.forget, session.portal(), session.user(), vm.name, gpu.uuid)
            )


def _take_out_of_service(vm: Vm) -> None:
    portal = session.portal()
    if vm.state is not VmState.NEW and st.button(
        "Drain …" if vm.state is VmState.ACTIVE else "Change the time …",
        key="drain",
        icon=":material/do_not_disturb_on:",
        help="No new containers; running ones keep running, or are stopped at a time.",
    ):
        vm_dialogs.drain(vm)
    if vm.state is VmState.DRAINING and st.button(
        "Activate", key="activate", icon=":material/play_circle:"
    ):
        frame.carry_out(lambda: draining.activate(portal, session.user(), vm.name))
    if vm.state is VmState.NEW and st.button(
        "Activate unverified …", key="activate-new", icon=":material/play_circle:"
    ):
        vm_dialogs.activate_unverified(vm.name)
    if st.button("Remove …", key="remove-vm", icon=":material/delete:"):
        vm_dialogs.remove(vm.name)
    if not vm.reachable and st.button(
        "Mark as lost …",
        key="lost",
        icon=":material/heart_broken:",
        help="The VM will not come back; its containers are recorded as stopped.",
    ):
        vm_dialogs.lost(vm.name)


def _stuck() -> None:
    """What does not succeed, with the way out."""
    now = session.portal().now()
    for each in deployments.stuck(session.portal(), session.user()):
        if each.trouble is None:
            continue
        with st.container(border=True, key=f"stuck-{each.id}"):
            said = wording.trouble(each, now, shown=wording.literal)
            st.warning(
                f"**{each.name}** of {wording.literal(each.owner.display_name)},"
                f" {wording.STATE_WORDS[each.state][0]}: {said}",
                icon=":material/sync_problem:",
            )
            may = session.user().role is Role.ADMIN and each.state in lifecycle.ENDING
            if may and st.button("Give up …", key=f"give-up-{each.id}", icon=":material/flag:"):
                _give_up(each)


def _give_up(d: Deployment) -> None:
    def body() -> None:
        st.markdown(
            f"**{d.name}** of {wording.literal(d.owner.display_name)} is recorded as ended; its"
            " owner gets ports, memory and quota back. Its GPUs stay reserved until the container"
            " is confirmed gone or the VM is removed."
        )
        reason = st.text_input("Reason, for the owner", key="give-up-reason")
        if frame.confirmed("Give up", "confirm-give-up", loses=True):
            frame.carry_out(
                lambda: deployments.give_up(session.portal(), session.user(), d.id, reason)
            )

    frame.ask(f"Give up on {d.name}?", body)


page()
