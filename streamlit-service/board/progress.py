"""How far a container is on its way to a notebook: only what is true."""

from __future__ import annotations

from dataclasses import dataclass

import wording
from portal.core.models import Deployment, State
from portal.deployments import lifecycle
from portal.deployments.overview import Overview

SLOW = 3.0
"""Times the usual: then something may be wrong."""


@dataclass(frozen=True)
class Step:
    """A part of the way. `at`: done, now or next."""

    word: str
    at: str


@dataclass(frozen=True)
class Progress:
    """`share`: of a download, else None: nobody knows how far a start is. `usual_s`: or None.

    `begun`: when the count of seconds begins, in ISO 8601. `slow`: what to say after `slow_s`.
    """

    steps: tuple[Step, ...]
    share: float | None
    text: str
    begun: str
    usual_s: float | None
    slow_s: float | None
    slow: str
    layers: tuple[tuple[float, str], ...] = ()


_AT = {State.PENDING: 0, State.PULLING: 1, State.STARTING: 2}


def progress(seen: Overview, d: Deployment) -> Progress | None:
    """Of what comes up; None for everything else."""
    if d.state not in lifecycle.COMING_UP:
        return None
    at = _AT[d.state]
    words = ("Reserved", "Downloading" if at == 1 else "Image ready", "Starting", "Ready")
    steps = tuple(
        Step(word, "done" if number < at else "now" if number == at else "next")
        for number, word in enumerate(words)
    )
    share, text = _words(seen, d)
    usual = seen.usual_start_s.get(d.release.id) if at != 1 else None
    return Progress(
        steps=steps,
        share=share,
        text=text,
        begun=(d.pending_since or d.updated_at).isoformat(),
        usual_s=usual,
        slow_s=SLOW * usual if usual else None,
        slow="slower than usual; the log may say why" if d.state is State.STARTING else "",
        layers=tuple(wording.layer(layer) for layer in d.progress),
    )


def _words(seen: Overview, d: Deployment) -> tuple[float | None, str]:
    if d.state is State.PULLING and d.progress:
        # The move to pulling is the last change of state: its age is how long the download has
        # taken, on any screen.
        return wording.download(d.progress, (seen.now - d.updated_at).total_seconds())
    before = seen.starting_before.get(d.id, 0)
    if d.state is State.PENDING and before:
        return None, f"{wording.ordinal(before + 1)} to start on {d.vm.name if d.vm else 'its VM'}"
    return None, ""
