"""What feeds the pages: not for programs, which have /deployments."""

from collections.abc import AsyncIterator
from datetime import datetime

import board
from board import Feed
from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from portal.core.people import User

from rest.dependencies import Caller, Guarded, Services, Wired
from rest.followers import Followers
from rest.views.base import Moment
from rest.visit import UNBUFFERED, stream

router = APIRouter(include_in_schema=False, route_class=Guarded)


@router.get("/board/events", response_class=StreamingResponse)
async def board_events(request: Request, services: Wired, user: Caller) -> StreamingResponse:
    return _answer(containers(request, services, user))


@router.get("/session/events", response_class=StreamingResponse)
async def session_events(
    request: Request, services: Wired, user: Caller, since: Moment | None = None
) -> StreamingResponse:
    return _answer(noted(request, user, role(request, services, user, since)))


def containers(request: Request, services: Services, user: User) -> AsyncIterator[str]:
    """The whole page of containers, then what changes of it."""
    feed, browser = Feed(), request.headers.get("User-Agent", "")

    def look(now: User) -> str:
        text = feed.tell(board.board(services.portal, now, browser))
        return f"event: board\ndata: {text}\n\n" if text else ""

    return stream(request, services, user.id, look)


def role(
    request: Request, services: Services, user: User, since: datetime | None = None
) -> AsyncIterator[str]:
    """That somebody has another role by now: other pages, other buttons."""

    def look(now: User) -> str:
        return "" if now.role is user.role else "event: role\ndata:\n\n"

    return stream(request, services, user.id, look, since)


async def noted(request: Request, user: User, events: AsyncIterator[str]) -> AsyncIterator[str]:
    """These events; while they are read, a page counts as open."""
    followers: Followers = request.app.state.followers
    closed = followers.came(user.id, request.headers.get("X-Real-IP", ""))
    try:
        async for event in events:
            yield event
    finally:
        closed()


def _answer(events: AsyncIterator[str]) -> StreamingResponse:
    return StreamingResponse(events, media_type="text/event-stream", headers=UNBUFFERED)
