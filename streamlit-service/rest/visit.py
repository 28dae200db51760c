"""Answers that stay open, and end the moment that whoever reads them may no longer come in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime

from fastapi import Request
from portal import users
from portal.core.errors import Forbidden, NotAuthenticated, PortalError
from portal.core.people import User
from portal.users import consent

from rest import errors, slow
from rest.dependencies import Services
from rest.followers import Followers
from rest.stopping import STOPPING

UNBUFFERED = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
ALIVE_S = 10.0
"""A page that hears nothing for longer says that it may be out of date."""
LOOK_EVERY_S = 1.0
AGAIN_S = 1.0


class Visit:
    """One answer, from when it was asked for."""

    def __init__(self, request: Request, services: Services, since: datetime | None = None) -> None:
        self._request, self._services = request, services
        now = services.portal.now()
        self._began = min(now, since) if since else now

    def user(self) -> User:
        """Who reads, as they are now. NotAuthenticated or Forbidden for who is out."""
        identity = self._services.authenticator.authenticate(self._request.headers)
        user = users.user_of(self._services.portal, identity)
        users.check_session(self._services.portal, user, self._began)
        consent.check(self._services.portal, user, identity)
        return user

    def has_good_card(self) -> bool:
        """Whether the card counts; from memory."""
        try:
            self._services.authenticator.authenticate(self._request.headers, patient=False)
        except NotAuthenticated:
            return False
        return True

    async def pauses(self, changed: asyncio.Event) -> AsyncIterator[None]:
        """Until something may have changed, or the card is not good: a pause of ALIVE_S each."""
        quiet = 0.0
        while not await _within(changed, LOOK_EVERY_S):
            if not self.has_good_card():
                return
            quiet += LOOK_EVERY_S
            if quiet >= ALIVE_S:
                quiet = 0.0
                yield


async def stream(
    request: Request,
    services: Services,
    user_id: int,
    look: Callable[[User], str],
    since: datetime | None = None,
) -> AsyncIterator[str]:
    """Server-sent events (HTML, 9.2): what `look` returns, "" for nothing, whenever it may differ.

    `since`: when the page began that asks; it may have been hidden meanwhile, and heard nothing. In
    between `alive`; at the end `out`, with the problem that says why.
    """
    visit = Visit(request, services, since)
    followers: Followers = request.app.state.followers
    with followers.follow(user_id) as changed:
        while not STOPPING.is_set():
            changed.clear()
            try:
                event = await slow.EVENTS.run(lambda: look(visit.user()))
            except (NotAuthenticated, Forbidden) as error:
                yield f"event: out\ndata: {bytes(errors.problem_of(error).body).decode()}\n\n"
                return
            except PortalError:  # the database is away for a moment: what is shown stays
                await asyncio.sleep(AGAIN_S)
                continue
            if event:
                yield event
            async for _ in visit.pauses(changed):
                yield "event: alive\ndata:\n\n"


async def _within(event: asyncio.Event, seconds: float) -> bool:
    """Whether it is set within that time."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
