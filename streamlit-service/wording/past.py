"""What happened to a container, for its owner. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portal.core.models import State, StopReason
from portal.core.people import User
from portal.deployments import Event

from wording.containers import STOP_WORDS

WORKER = "worker"
SAID = {
    State.WAITING: "Put in the queue",
    State.PENDING: "Start requested",
    State.PULLING: "Preparing the image",
    State.STARTING: "Container starting",
    State.RUNNING: "Running: the notebook answers",
    State.STOPPING: "Stop requested",
    State.STOPPED: "Stopped",
    State.REMOVING: "Removal requested",
    State.REMOVED: "Removed",
    State.FAILED: "Failed",
}
OTHERS = {
    "deployment.killed_for_memory": "A process used up its memory and was killed",
    "deployment.paused": "Paused on its VM",
    "deployment.ports_changed": "Moved to other ports: one was in use by something else",
    "access.port_opened": "Opened in a browser",
    "ssh.opened": "SSH connected",
    "ssh.closed": "SSH disconnected",
    "deployment.log_read": "Its log was read",
    "deployment.stopped_again": "Started by hand on the VM, so the portal stopped it again",
}


def past(event: Event, user: User) -> tuple[str, str]:
    """What happened, in a sentence, and who did it: "you", "the portal" or "an administrator"."""
    return _what(event), _who(event.actor, user)


def _what(event: Event) -> str:
    name = event.action.removeprefix("deployment.")
    said = SAID.get(State(name)) if name in set(State) else OTHERS.get(event.action)
    text = said or name.replace("_", " ").capitalize()
    if event.details.get("request") == "restart":
        text = "Restart requested"
    if event.actor == WORKER and name == State.PENDING:
        # With a VM it came from the queue; else it is made anew after a restart.
        text = "Its turn came in the queue" if event.details.get("vm") else "Starting again"
    details = [text, _detail(event.details)]
    return ": ".join(filter(None, details))


def _detail(details: Mapping[str, Any]) -> str:
    """What is worth saying of it."""
    failure = details.get("failure")
    if isinstance(failure, Mapping):
        return str(failure.get("message", ""))
    reason = str(details.get("stop_reason") or details.get("reason") or "")
    if reason in set(StopReason):
        return STOP_WORDS[StopReason(reason)]
    address = details.get("address") or details.get("client")
    if address:
        return f"from {address}"
    return reason or (f"on {details['vm']}" if details.get("vm") else "")


def _who(actor: str, user: User) -> str:
    if actor == WORKER:
        return "the portal"
    return "you" if actor == user.subject else "an administrator"
