"""What is to be written down of who came and went: in its order, while the loop goes on.

What cannot be written while the database is away waits for it; so many records do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import structlog
from portal.core.errors import DatabaseTrouble

MOST = 10_000
AGAIN_S, FINISH_S = 1.0, 2.0
Run = Callable[[partial[None]], Awaitable[None]]
"""Runs a call outside of the loop."""
log = structlog.get_logger()


class Records:
    """Of one process, used in one loop."""

    def __init__(self, most: int = MOST) -> None:
        self._waiting: asyncio.Queue[partial[None]] = asyncio.Queue(most)
        self._finishing = asyncio.Event()

    def put(self, write: partial[None]) -> None:
        """Have it written after what came before. Where too many wait, it is in the log alone."""
        try:
            self._waiting.put_nowait(write)
        except asyncio.QueueFull:
            log.warning("ssh_not_recorded", code="too_many_wait", **write.keywords)

    async def write(self, run: Run) -> None:
        """Write them, for as long as the process lives."""
        while True:
            write = await self._waiting.get()
            try:
                while not await self._is_written(run, write):
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._finishing.wait(), AGAIN_S)
            finally:
                self._waiting.task_done()

    async def finish(self) -> None:
        """Wait until all are written; not for a database that is away."""
        self._finishing.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._waiting.join(), FINISH_S)

    async def _is_written(self, run: Run, write: partial[None]) -> bool:
        """False where it is to be tried again."""
        try:
            await run(write)
        except DatabaseTrouble as trouble:
            final = self._finishing.is_set()
            event = "ssh_not_recorded" if final else "ssh_not_recorded_yet"
            log.warning(event, code=trouble.code, **write.keywords)
            return final
        except Exception:  # whatever was wrong with this one, the next is written
            log.exception("ssh_not_recorded", **write.keywords)
        return True
