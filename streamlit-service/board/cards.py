"""One container on the page: what it is, what one can do with it, and what is to be known of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import wording
from portal.core.models import Deployment, ReleaseState, State, StopReason
from portal.core.settings import Settings
from portal.deployments import lifecycle
from portal.deployments.addresses import door_fingerprint, ssh_command, urls
from portal.deployments.overview import Overview
from portal.images import launch_gate

from board.meters import Meter, meters
from board.notes import Note, notes
from board.progress import Progress, progress

RUNNING, MOVING, ENDED, STOPPED = "running", "moving", "ended", "stopped"
"""Groups of the page, in its order; the last is folded."""
ON_PURPOSE = (StopReason.USER, StopReason.ADMIN, StopReason.LEAD)
TOLD_FOR = timedelta(days=7)
STOPPED_IN_SIGHT = timedelta(minutes=15)
"""What somebody stopped does not go out of sight under their hand."""
"""What ended by itself stands in sight for so long: nobody asked for it."""
READABLE = (State.RUNNING, State.STOPPED, State.STARTING, State.FAILED)
"""States with a log."""


@dataclass(frozen=True)
class Action:
    """What one may ask for; `loss`: what to say before, where something is lost by it."""

    name: str
    label: str
    busy: str
    """What the card says from the click on."""
    loss: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ssh:
    """Commands to connect: with a card, with a key that was added, and for ~/.ssh/config."""

    with_card: str
    with_key: str
    config: str
    fingerprint: str
    """Of the door's host key; "" where it is not known."""


@dataclass(frozen=True)
class Card:
    """A container. Times are ISO 8601 in UTC: the browser says how long ago."""

    id: str
    name: str
    group: str
    state: str
    word: str
    icon: str
    tone: str
    since: str
    """When it came into this state."""
    facts: tuple[str, ...]
    jupyter: str
    """Where its notebook is; "" while it is not."""
    tensorboard: str
    startable: bool
    image: str
    """To deploy it anew, where its release may not start."""
    anew: bool
    has_log: bool
    actions: tuple[Action, ...]
    notes: tuple[Note, ...]
    progress: Progress | None
    meters: tuple[Meter, ...]
    ssh: Ssh | None


LABELS = {
    "stop": ("Stop", "Stopping"),
    "restart": ("Restart", "Restarting"),
    "remove": ("Remove", "Removing"),
}
"""Of what is behind More, in this order."""


def card(settings: Settings, seen: Overview, d: Deployment, agent: str) -> Card:
    """One deployment as the page shows it."""
    word, icon, tone = wording.STATE_WORDS[d.state]
    if d.state is State.STOPPING and d.restart_after_stop:
        word = "Restarting"
    problem = launch_gate.problem(settings, d.release, seen.now)
    can_start = d.state in lifecycle.USER_ACTIONS["start"][0]
    links = urls(d, settings) if d.state is State.RUNNING else {}
    return Card(
        id=d.id,
        name=d.name,
        group=_group(d, seen.now),
        state=d.state,
        word=word,
        icon=icon,
        tone=tone,
        since=_since(d).isoformat(),
        facts=_facts(d),
        jupyter=links.get("jupyter", ""),
        tensorboard=links.get("tensorboard", ""),
        startable=can_start and not problem,
        image=d.release.image,
        anew=can_start and bool(problem),
        has_log=d.state in READABLE,
        actions=_actions(d, can_run=not problem),
        notes=notes(settings, seen, d, _about_its_release(d, problem, can_start=can_start)),
        progress=progress(seen, d),
        meters=meters(d, seen.figures.get(d.id, ())),
        ssh=_ssh(d, settings, agent) if d.state is State.RUNNING else None,
    )


def _since(d: Deployment) -> datetime:
    if d.state is State.RUNNING:
        return d.started_at or d.updated_at
    if d.state is State.WAITING:
        return d.waiting_since or d.updated_at
    if d.state in lifecycle.COMING_UP:
        return d.pending_since or d.updated_at
    return d.updated_at


def _group(d: Deployment, now: datetime) -> str:
    if d.state is State.RUNNING:
        return RUNNING
    if d.state not in (State.STOPPED, State.FAILED):
        return MOVING
    on_purpose = d.state is State.STOPPED and d.stop_reason in ON_PURPOSE
    in_sight = STOPPED_IN_SIGHT if on_purpose else TOLD_FOR
    return STOPPED if now - _since(d) > in_sight else ENDED


def _facts(d: Deployment) -> tuple[str, ...]:
    facts = [f"{d.release.image} {d.release.version}"]
    if d.vm:
        facts.append(d.vm.name)
    if d.gpus:
        facts.append(wording.plural(d.gpus, "GPU"))
    return (*facts, f"{d.memory_gb:g} GB", wording.amount(d.cpus, "CPU"))


def _actions(d: Deployment, *, can_run: bool) -> tuple[Action, ...]:
    possible = [
        name
        for name in LABELS
        if lifecycle.is_possible(name, d.state, restarting=d.restart_after_stop)
        and (can_run or name != "restart")
    ]
    return tuple(_action(d, name) for name in possible)


def _action(d: Deployment, name: str) -> Action:
    label, busy = LABELS[name]
    if (d.state, name) == (State.WAITING, "stop"):
        return Action(name, "Leave the queue", "Leaving the queue")
    loss = _loss(d, name)
    return Action(name, f"{label} …" if loss else label, busy, loss)


def _loss(d: Deployment, name: str) -> tuple[str, ...]:
    """What is kept and what is not; nothing for what can be taken back by a click."""
    runs = d.state is State.RUNNING
    if name != "remove" and not runs:
        return ()
    where = f" on {d.vm.name}" if d.vm else ""
    kept = f"**Kept:** your home folder{where}, with notebooks and TensorBoard logs"
    if name == "remove":
        unsaved = ", and unsaved work in running notebooks" if runs else ""
        return (
            kept,
            f"**Deleted:** the container {d.name}: everything outside the home folder{unsaved}",
        )
    ended = "**Ended:** kernels and terminals, with what they hold in memory"
    if name == "stop" and d.gpus:
        gpus = wording.plural(d.gpus, "GPU")
        return (kept, ended, f"**Given back:** {gpus}; somebody else may take them")
    return (kept, ended)


def _about_its_release(d: Deployment, problem: str, *, can_start: bool) -> Sequence[Note]:
    """What its owner should know: that it will not start again, and the way on."""
    if problem and can_start:
        kept = "Your home folder is kept: deploy the image again to continue."
        return [Note("warning", f"**It cannot start:** {problem} {kept}")]
    if problem and d.release.state is ReleaseState.WITHDRAWN:
        rest = "It keeps running but cannot be started again. Save your work in the home folder,"
        return [Note("warning", f"**{problem}** {rest} and deploy the image again.")]
    if d.release.state is ReleaseState.DEPRECATED:
        name, why = f"{d.release.image} {d.release.version}", d.release.reason
        rest = "It keeps running and can start again; deploy the image again when it suits you."
        return [Note("info", f"**{name} is no longer offered:** {why}. {rest}")]
    return []


def _ssh(d: Deployment, settings: Settings, agent: str) -> Ssh | None:
    command = ssh_command(d, settings)
    if not command:
        return None
    module = wording.pkcs11_module(agent)
    return Ssh(
        with_card=f"ssh-add -s {module}\n{command}",
        with_key=command,
        config=wording.ssh_config(d.name, command, module, has_key=bool(d.owner.ssh_keys)),
        fingerprint=door_fingerprint(settings),
    )
