"""Threads for what may take long, with limits of their own: ordinary requests never wait for it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeVar

import anyio

T = TypeVar("T")


class Slow:
    """So many threads of a kind; more calls wait for one of these."""

    def __init__(self, threads: int) -> None:
        self._limiter = anyio.CapacityLimiter(threads)

    async def run(self, call: Callable[..., T], *arguments: object, **named: object) -> T:
        """The result of a call that blocks, made in a thread."""
        task = functools.partial(call, *arguments, **named)
        return await anyio.to_thread.run_sync(task, limiter=self._limiter)


LOGS = Slow(32)
"""Of VMs that may not answer: each waits for its engine's deadline."""
EVENTS = Slow(8)
"""Looks at the records for those who follow a deployment."""
TOUCHES = Slow(2)
"""Writes of who was active last, which wait for other writers."""
