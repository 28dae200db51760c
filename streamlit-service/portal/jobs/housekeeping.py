"""What is due by the clock alone: of the worker that leads, each in a thread of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial

from portal import audit
from portal.context import Portal
from portal.core.signatures import Sign
from portal.jobs.lanes import Lane, Lanes
from portal.monitoring import looks
from portal.monitoring.looks import Look
from portal.users import visits

HOUR_S = 3600.0
AGAIN_S = 60.0
LOOK_EVERY_S = 60.0
OF_NO_VM = 0


@dataclass
class _Chore:
    name: str
    every_s: float
    do: Callable[[Portal], object]
    due_at: float = field(default=0.0)


class Housekeeping:
    """Of one worker. What fails is logged by its lane, and tried again when it is due next."""

    def __init__(
        self, portal: Portal, checks: Look | None = None, sign: Sign | None = None
    ) -> None:
        self._portal = portal
        self._chores = [_Chore("visits", HOUR_S, visits.forget_old)]
        if sign:
            self._chores.append(_Chore("checkpoint", HOUR_S, partial(audit.checkpoint, sign=sign)))
            self._chores.append(_Chore("prune", HOUR_S, audit.prune))
        if checks:
            look = partial(looks.look, checks=checks)
            self._chores.append(_Chore("health", LOOK_EVERY_S, look))

    def start(self, lanes: Lanes) -> list[Future[None] | None]:
        """Start what is due."""
        now = time.monotonic()
        return [self._start(lanes, chore) for chore in self._chores if now >= chore.due_at]

    def _start(self, lanes: Lanes, chore: _Chore) -> Future[None] | None:
        def do() -> None:
            chore.do(self._portal)
            chore.due_at = time.monotonic() + chore.every_s

        started = lanes.start(Lane.PROBE, OF_NO_VM, chore.name, do)
        if started:
            chore.due_at = time.monotonic() + min(chore.every_s, AGAIN_S)  # should it fail
        return started
