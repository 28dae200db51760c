"""States of containers, the way to them, and what went wrong."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from portal.core.models import Deployment, LayerProgress, State, StopReason
from portal.scheduling import admission

from wording.units import ago, left, size

STATE_WORDS: dict[State, tuple[str, str, str]] = {
    State.WAITING: ("In the queue", "hourglass_top", "violet"),
    State.PENDING: ("Reserved", "hourglass_top", "blue"),
    State.PULLING: ("Downloading", "downloading", "blue"),
    State.STARTING: ("Starting", "hourglass_top", "blue"),
    State.RUNNING: ("Running", "check_circle", "green"),
    State.STOPPING: ("Stopping", "hourglass_bottom", "orange"),
    State.STOPPED: ("Stopped", "stop_circle", "gray"),
    State.REMOVING: ("Removing", "hourglass_bottom", "orange"),
    State.REMOVED: ("Removed", "delete", "gray"),
    State.FAILED: ("Failed", "error", "red"),
}
"""Word, icon, colour: never colour alone."""


STOP_WORDS = {
    StopReason.USER: "You stopped it.",
    StopReason.ADMIN: "An administrator stopped it.",
    StopReason.LEAD: "Your group lead stopped it.",
    StopReason.OUT_OF_MEMORY: "It ran out of memory. Deploy it again with more memory.",
    StopReason.EXIT_CODE: "Its notebook server stopped on its own. The log says why.",
    StopReason.CONTAINER_GONE: ("The container disappeared from the VM. Start creates a new one."),
    StopReason.VM_RESTARTED: "Its VM, or Docker on it, was restarted.",
    StopReason.VM_LOST: "Its VM was lost, and has been removed from the portal.",
    StopReason.NOT_WANTED: (
        "It was started on the VM by hand, so the portal stopped it again. Start it here instead."
    ),
}


ESTIMATE_AFTER_S = 2.0  # before that the speed is a guess


def download(layers: tuple[LayerProgress, ...], seconds: float) -> tuple[float, str]:
    """How far a pull is after so many seconds: (share done, words with the time left).

    The total grows while the registry still tells sizes.
    """
    done, total = sum(layer.current for layer in layers), sum(layer.total for layer in layers)
    if total == 0:
        return 0.0, "Asking the registry for the image …"
    if done >= total:
        return 1.0, f"Downloaded {size(total)}; unpacking …"
    text = f"{size(done)} of {size(total)}"
    if seconds >= ESTIMATE_AFTER_S and done:
        text += f" · {left((total - done) * seconds / done)}"
    return done / total, text


def layer(progress: LayerProgress) -> tuple[float, str]:
    """One layer: (share done, words).

    What the VM has already counts as done, not as nothing of nothing.
    """
    if progress.total == 0:
        there = progress.status == "Already exists"
        return float(there), f"{progress.layer} · {progress.status or 'waiting'}"
    bytes_of_bytes = f"{size(progress.current)} of {size(progress.total)}"
    share = min(progress.current / progress.total, 1.0)
    return share, f"{progress.layer} · {progress.status} · {bytes_of_bytes}"


def queued(deployment: Deployment) -> str:
    """A place in the queue and what it waits for."""
    if deployment.impossible_since is not None:
        return (
            f"**It cannot start now:** {deployment.waits_for}. If nothing changes within"
            f" {admission.IMPOSSIBLE_FOR.total_seconds() / 60:g} minutes, the request fails."
        )
    if not deployment.position:
        return f"**On hold:** {deployment.waits_for}."
    return (
        f"**Number {deployment.position} in the queue.** It will start automatically; you do not"
        f" need to stay on this page. Why it is waiting: {deployment.waits_for}."
    )


def why(deployment: Deployment) -> str:
    """Why it is not running, when it stopped."""
    words = STOP_WORDS[deployment.stop_reason] if deployment.stop_reason else "It is stopped."
    if deployment.stop_reason is StopReason.USER and deployment.started_at is None:
        words = "You left the queue."
    if deployment.stop_reason is StopReason.VM_RESTARTED:
        return f"{words} {deployment.stop_note}".rstrip()
    return f"{words} Reason: “{deployment.stop_note}”" if deployment.stop_note else words


def trouble(
    deployment: Deployment, now: datetime, shown: Callable[[str], str] = lambda text: text
) -> str:
    """What keeps it waiting or went wrong in it, since when, and what to do; "" for nothing.

    `shown`: what makes of VMs' words what shows them as they are, where Markdown counts.
    """
    trouble = deployment.trouble
    if trouble is None:
        return ""
    when = ago(trouble.since, now)
    tries = "" if deployment.state is State.RUNNING else "; the portal keeps trying"
    return f"**{shown(trouble.message)}** First seen {when}{tries}. {shown(trouble.hint)}"
