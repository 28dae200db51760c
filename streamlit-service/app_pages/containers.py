"""My containers: what runs, what does not and why, and the one button to go on working."""

from __future__ import annotations

import functools
from datetime import datetime

import streamlit as st
import wording
from portal import deployments
from portal.core.errors import PortalError
from portal.core.models import Deployment, ReleaseState, State, StopReason
from portal.deployments import lifecycle
from portal.deployments.addresses import ssh_command, urls
from portal.images import launch_gate
from portal.vms import gpus

from app_pages.parts import frame, log_dialog, session

REFRESH_S = 1.0
LEAVE_QUEUE = ":material/cancel: Leave the queue"
MENU = {
    "stop": ":material/stop: Stop",
    "restart": ":material/restart_alt: Restart",
    "remove": ":material/delete: Remove …",
}
"""What is behind More, in this order, where the state allows it."""


def page() -> None:
    """The page: a fragment that updates in place."""
    st.subheader("My containers")
    _dialogs()
    _cards()


@st.fragment(run_every=REFRESH_S)
@frame.told
def _cards() -> None:
    if st.session_state.pop("go", None) == "deploy":
        session.go_to("deploy")
    # Chosen in here; a dialog of the fragment would close at its next refresh.
    if "dialog" in st.session_state:
        st.rerun(scope="app")
    frame.show_problem()
    mine = deployments.mine(session.portal(), session.user())
    if not mine:
        st.info(
            "Here you find your containers: open, stop, start or remove them. You have none yet.",
            icon=":material/deployed_code:",
        )
        if st.button("Deploy your first container", type="primary", key="first"):
            session.go_to("deploy")
        return
    for deployment in mine:
        with st.container(border=True, key=f"card-{deployment.id}"):
            _card(deployment)


def _card(d: Deployment) -> None:
    now, zone = session.portal().now(), session.zone()
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    ):
        st.markdown(f"#### {d.name} {wording.badge(d.state)}", width="content")
        with st.container(horizontal=True, width="content"):
            _buttons(d)
    since = d.started_at if d.state is State.RUNNING and d.started_at else d.updated_at
    contact = session.portal().settings.help_contact
    cpus = wording.amount(d.cpus, "CPU")
    cards = f"{wording.plural(d.gpus, 'GPU')} · " if d.gpus else ""
    vm = f"{d.vm.name} · " if d.vm else ""
    verb = "started" if d.state is State.RUNNING else "changed"
    st.caption(
        f"{d.release.image} {d.release.version} · {vm}{cards}{d.memory_gb:g} GB · {cpus} · "
        f"{verb} {wording.ago(since, now)}",
        help=wording.absolute(since, zone),
    )
    _warnings(d, now)
    _about_its_release(d)
    if d.state is State.WAITING:
        st.info(wording.queued(d), icon=":material/hourglass_top:")
    elif d.state in lifecycle.COMING_UP:
        _progress(d)
    elif d.failure:
        st.error(
            f"**{d.failure.message}**  \n{d.failure.hint}  \n:small[If it stays, give {contact} "
            f"this reference: `{d.id}`]",
            icon=":material/error:",
        )
    elif d.state is State.STOPPED:
        kept = "" if d.stop_reason is StopReason.VM_LOST else " The home folder is kept."
        st.markdown(wording.why(d) + kept)
    elif d.state in lifecycle.WORK:
        st.progress(0.5, wording.STATE_WORDS[d.state][0] + " …")
    if d.ssh and d.state is State.RUNNING:
        _ssh(d)


def _warnings(d: Deployment, now: datetime) -> None:
    """What is not as it should be with its VM, its container or its GPUs."""
    if d.vm and d.unreachable:
        st.warning(
            f"{d.vm.name} cannot be reached just now, so this may be out of date. Nothing was"
            " stopped. Administrators see this too.",
            icon=":material/cloud_off:",
        )
    if d.trouble:
        st.warning(wording.trouble(d, now), icon=":material/sync_problem:")
    if d.state is State.RUNNING and d.stop_reason is StopReason.VM_RESTARTED:
        st.info(
            f"{wording.why(d)} It was started again {wording.ago(d.started_at or now, now)};"
            " what was only in memory is lost.",
            icon=":material/restart_alt:",
        )
    if d.state is State.RUNNING and (lost := gpus.lost_gpus(session.portal(), d)):
        st.warning(
            f"**{wording.plural(lost, 'GPU')} of this container cannot be used any more:** the VM"
            " does not report it, or reports an error. Stop and start "
            "it to get another; save your work first.",
            icon=":material/memory:",
        )


def _problem(d: Deployment) -> str:
    """Why its release may not start now; "" when it may."""
    return launch_gate.problem(session.portal().settings, d.release, session.portal().now())


def _about_its_release(d: Deployment) -> None:
    """What its owner should know: that it will not start again, and the way on."""
    problem = _problem(d)
    if not problem:
        return
    startable = d.state in lifecycle.USER_ACTIONS["start"][0]
    if d.release.state is ReleaseState.WITHDRAWN and not startable:
        st.warning(
            f"**{problem}** What runs goes on; it does not start again. Save your work in the home"
            " folder, and deploy the image anew.",
            icon=":material/block:",
        )
    elif startable:
        st.warning(
            f"**It cannot start:** {problem} Your home folder is kept: "
            "deploy the image anew to go on.",
            icon=":material/block:",
        )


def _deploy_anew(image: str) -> None:
    st.session_state["image"] = image
    st.session_state["go"] = "deploy"


def _ssh(d: Deployment) -> None:
    """The commands to connect, for the card and for a key that was added."""
    command = ssh_command(d)
    module = wording.pkcs11_module(st.context.headers.get("User-Agent", ""))
    with st.expander("SSH", icon=":material/terminal:", key=f"ssh-{d.id}"):
        st.markdown("With your card (OpenSC installed):")
        st.code(command.replace("ssh ", f"ssh -I {module} ", 1), language="bash", wrap_lines=True)
        st.markdown("With a key that you added on the page *SSH keys*:")
        st.code(command, language="bash", wrap_lines=True)
        st.markdown("For `~/.ssh/config`; VS Code finds it under *Remote-SSH: Connect to Host*:")
        st.code(wording.ssh_config(d.name, command, module), language="text", wrap_lines=True)
        st.caption(
            "At the first connection, compare the fingerprint with “SSH host key” in the log. No"
            " answer? Your administrators decide from which networks SSH is open."
        )


def _progress(d: Deployment) -> None:
    st.markdown(wording.steps(d.state))
    if not d.progress:
        st.progress({State.PENDING: 0.05, State.PULLING: 0.1, State.STARTING: 0.9}[d.state])
        return
    # The move to pulling is the last change of state: its age is how long the download has taken,
    # on any screen.
    share, text = wording.download(
        d.progress, (session.portal().now() - d.updated_at).total_seconds()
    )
    st.progress(share, text)
    with st.expander("Layers", key=f"layers-{d.id}"):
        for layer in d.progress:
            st.progress(*wording.layer(layer))


def _buttons(d: Deployment) -> None:
    if d.state is State.RUNNING:
        links = urls(d, session.portal().settings)
        st.link_button(
            "Open JupyterLab", links["jupyter"], type="primary", icon=":material/open_in_new:"
        )
        st.link_button("Open TensorBoard", links["tensorboard"], icon=":material/monitoring:")
    elif d.state in lifecycle.USER_ACTIONS["start"][0]:
        if _problem(d):
            st.button(
                "Deploy anew",
                type="primary",
                icon=":material/rocket_launch:",
                key=f"anew-{d.id}",
                on_click=_deploy_anew,
                args=(d.release.image,),
            )
        else:
            st.button(
                "Start",
                type="primary",
                icon=":material/play_arrow:",
                key=f"start-{d.id}",
                on_click=_act,
                args=(d.id, "start"),
            )
    if d.state in (State.RUNNING, State.STOPPED, State.STARTING, State.FAILED):
        _logs_button(d)
    choices = [
        action
        for action in MENU
        if lifecycle.is_possible(action, d.state, restarting=d.restart_after_stop)
    ]
    if choices:
        st.menu_button(
            "More",
            choices,
            icon=":material/more_horiz:",
            key=f"more-{d.id}",
            format_func=functools.partial(_menu_label, d.state),
            on_click=_chosen,
            args=(d.id,),
        )


def _menu_label(state: State, action: str) -> str:
    return LEAVE_QUEUE if (state, action) == (State.WAITING, "stop") else MENU[action]


def _chosen(deployment_id: str) -> None:
    action = st.session_state[f"more-{deployment_id}"]
    if action == "remove":  # loses something: ask first
        _ask("remove", deployment_id)
    else:
        _act(deployment_id, action)


def _logs_button(d: Deployment) -> None:
    st.button(
        "Logs", icon=":material/article:", key=f"logs-{d.id}", on_click=_ask, args=("logs", d.id)
    )


def _ask(dialog: str, deployment_id: str) -> None:
    st.session_state["dialog"] = (dialog, deployment_id)


def _act(deployment_id: str, action: str) -> None:
    try:
        deployments.act(session.portal(), session.user(), deployment_id, action)
    except PortalError as error:
        st.session_state["problem"] = error


def _dialogs() -> None:
    dialog, deployment_id = st.session_state.pop("dialog", (None, None))
    if dialog is None:
        return
    deployment = deployments.get(session.portal(), session.user(), deployment_id)
    {"logs": log_dialog.show, "remove": _confirm_removal}[dialog](deployment)


@st.dialog("Remove this container?")
def _confirm_removal(d: Deployment) -> None:
    st.markdown(
        f"**{d.name}** ends now, with everything that runs in it.\n\n"
        "- :green-badge[Stays] your home folder on this VM, with notebooks and TensorBoard logs\n"
        "- :red-badge[Lost] everything outside the home folder, and what is only in memory"
    )
    with st.container(horizontal=True):
        if st.button("Remove", type="primary", icon=":material/delete:", key="confirm-remove"):
            _act(d.id, "remove")
            st.rerun()
        if st.button("Keep it", key="keep"):
            st.rerun()


page()
