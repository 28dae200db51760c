"""What feeds the page of a person's containers: not for programs, which have /deployments."""

import asyncio
from collections.abc import AsyncIterator

import board
from board import Feed
from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from portal import users
from portal.core.errors import Forbidden, NotAuthenticated, PortalError

from rest import errors, slow
from rest.dependencies import Caller, Services, Wired
from rest.followers import Followers
from rest.stopping import STOPPING

UNBUFFERED = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
ALIVE_S = 10.0
"""A page that hears nothing for longer says that it may be out of date."""
AGAIN_S = 1.0

router = APIRouter(prefix="/board", include_in_schema=False)


@router.get("/events", response_class=StreamingResponse)
async def events(request: Request, services: Wired, user: Caller) -> StreamingResponse:
    feed = _feed(request, services, user.id)
    return StreamingResponse(feed, media_type="text/event-stream", headers=UNBUFFERED)


async def _feed(request: Request, services: Services, user_id: int) -> AsyncIterator[str]:
    """The whole page, then what changes of it, for as long as the person may come in."""
    feed = Feed()
    followers: Followers = request.app.state.followers
    with followers.follow(user_id) as changed:
        while not STOPPING.is_set():
            changed.clear()
            try:
                now = await slow.EVENTS.run(_look, request, services)
            except (NotAuthenticated, Forbidden) as error:
                yield f"event: out\ndata: {bytes(errors.problem_of(error).body).decode()}\n\n"
                return
            except PortalError:  # the database is away for a moment: what is shown stays
                await asyncio.sleep(AGAIN_S)
                continue
            if text := feed.tell(now):
                yield f"event: board\ndata: {text}\n\n"
            while not await _within(changed, ALIVE_S):
                yield "event: alive\ndata:\n\n"


def _look(request: Request, services: Services) -> board.Board:
    """As the person is now: a card may have been revoked since the page was opened."""
    identity = services.authenticator.authenticate(request.headers)
    user = users.user_of(services.portal, identity)
    return board.board(services.portal, user, request.headers.get("User-Agent", ""))


async def _within(event: asyncio.Event, seconds: float) -> bool:
    """Whether it is set within that time."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True
