"""Who follows their containers now: one look at the records in a second tells whose changed."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine, Hashable, Iterable, Iterator
from contextlib import contextmanager

import structlog
from portal import deployments
from portal.context import Portal
from portal.core.errors import PortalError
from portal.users import sessions
from portal.users.sessions import RENEW_EVERY_S, OpenSessions

from rest import slow
from rest.stopping import STOPPING

log = structlog.get_logger()

LOOK_EVERY_S = 1.0
REFRESH_EVERY = 30
"""Looks after which everybody is told, changed or not: figures, the person's rights."""


class Followers:
    """Of one event loop."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self._followed: defaultdict[int, set[asyncio.Event]] = defaultdict(set)
        self._stamps: dict[int, Hashable] = {}
        self._task: asyncio.Task[None] | None = None
        self._looks = 0
        self._sessions = OpenSessions(portal)
        self._notes: set[asyncio.Task[None]] = set()

    @contextmanager
    def follow(self, user_id: int) -> Iterator[asyncio.Event]:
        """An event that is set whenever something of theirs may have changed."""
        changed = asyncio.Event()
        self._followed[user_id].add(changed)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look())
        try:
            yield changed
        finally:
            self._followed[user_id].discard(changed)
            if not self._followed[user_id]:
                del self._followed[user_id]
                self._stamps.pop(user_id, None)

    def came(self, user_id: int, address: str) -> Callable[[], None]:
        """Note that somebody opened a page; call what it returns when it is closed.

        Neither waits for the database.
        """
        session = sessions.new_id()
        opening = self._note(
            slow.TOUCHES.run(self._sessions.open, session, user_id, sessions.PAGE, address)
        )

        async def close() -> None:
            await asyncio.wait([opening])
            await slow.TOUCHES.run(self._sessions.close, session)

        def closed() -> None:
            self._note(close())

        return closed

    def _note(self, writing: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(writing)
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)
        return task

    async def _look(self) -> None:
        while self._followed:
            await asyncio.sleep(LOOK_EVERY_S)
            if STOPPING.is_set():
                self._tell(tuple(self._followed))
                return
            try:
                await self._compare()
            except PortalError:  # the database is away for a moment
                continue
            except Exception:  # whatever was wrong with this look, the next comes
                log.exception("followers_not_looked_for")

    async def _compare(self) -> None:
        stamps = await slow.EVENTS.run(deployments.stamps, self._portal, tuple(self._followed))
        self._looks += 1
        self._tell(
            user_id
            for number, (user_id, stamp) in enumerate(stamps.items())
            if stamp != self._stamps.get(user_id)
            or (self._looks + number) % REFRESH_EVERY == 0  # not all at once
        )
        self._stamps = stamps
        if self._looks % RENEW_EVERY_S == 0:
            await slow.TOUCHES.run(self._sessions.renew)

    def _tell(self, user_ids: Iterable[int]) -> None:
        for user_id in user_ids:
            for changed in self._followed.get(user_id, ()):
                changed.set()
