"""What is to be known of a container: trouble, warnings, why it stopped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import wording
from portal.core.models import Deployment, State, StopReason
from portal.core.settings import Settings
from portal.deployments.overview import Overview

from board.meters import memory_is_nearly_full

WHO = {StopReason.ADMIN: "An administrator", StopReason.LEAD: "A lead of your group"}
OVER = (State.STOPPED, State.FAILED, State.REMOVED, State.WAITING)


@dataclass(frozen=True)
class Note:
    """A sentence or two beside a container. `kind`: info, warning or error; **bold** counts."""

    kind: str
    text: str
    at: str = ""
    """A time (ISO 8601), shown as the viewer's own where the text says {at}."""


def notes(
    settings: Settings, seen: Overview, d: Deployment, about_its_release: Sequence[Note]
) -> tuple[Note, ...]:
    """All of a container's, the most urgent first."""
    return (
        *_failure(settings, d),
        *_trouble(seen, d),
        *_draining(d),
        *_memory(seen, d),
        *about_its_release,
        *_history(d),
    )


def _failure(settings: Settings, d: Deployment) -> Iterator[Note]:
    if d.failure:
        ask = f"If this keeps happening, give {settings.help_contact} this reference: {d.id}"
        yield Note("error", f"**{d.failure.message}** {d.failure.hint} {ask}")


def _trouble(seen: Overview, d: Deployment) -> Iterator[Note]:
    if d.vm and d.unreachable:
        yield Note(
            "warning",
            f"{d.vm.name} cannot be reached just now, so this may be out of date. Nothing was"
            " stopped. Administrators see this too.",
        )
    if d.trouble:
        yield Note("warning", wording.trouble(d, seen.now))
    if lost := seen.lost_gpus.get(d.id, 0):
        yield Note(
            "warning",
            f"**{wording.plural(lost, 'GPU')} of this container can no longer be used:** missing"
            " from the VM, or failing. Save your work, then stop and start the container to get a"
            " replacement.",
        )


def _draining(d: Deployment) -> Iterator[Note]:
    if d.vm and d.vm.drain_by and d.state not in OVER:
        yield Note(
            "warning",
            f"**{d.vm.name} is taken out of use: this container is stopped at {{at}}.** Reason:"
            f" “{d.vm.drain_reason}” Save your work by then; the home folder is kept.",
            d.vm.drain_by.isoformat(),
        )


def _memory(seen: Overview, d: Deployment) -> Iterator[Note]:
    figures = seen.figures.get(d.id, ())
    if memory_is_nearly_full(d, figures):
        used = f"{figures[-1].memory_peak_gb:.1f} of {d.memory_gb:g} GB"
        yield Note(
            "warning",
            f"**Memory is nearly full:** {used}. At the limit, the largest process is killed: close"
            " notebooks that you do not need, or deploy with more memory.",
        )


def _history(d: Deployment) -> Iterator[Note]:
    if d.state is State.RUNNING and d.stop_reason is StopReason.VM_RESTARTED:
        lost = "It was started again; what was only in memory is lost."
        yield Note("info", f"{wording.why(d)} {lost}")
    elif d.state is State.RUNNING and d.stop_reason in WHO and d.stop_note:
        yield Note("info", f"{WHO[d.stop_reason]} started it for you. Reason: “{d.stop_note}”")
    elif d.state is State.WAITING:
        yield Note("info", wording.queued(d))
    elif d.state is State.STOPPED:
        kept = "" if d.stop_reason is StopReason.VM_LOST else " The home folder is kept."
        yield Note("plain", f"{wording.why(d)}{kept}")
