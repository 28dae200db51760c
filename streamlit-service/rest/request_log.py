"""One id from nginx to a request's log lines: X-Request-Id, bound to each, sent back."""

from __future__ import annotations

import re
import uuid

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "X-Request-Id"
_ID = re.compile(rb"[0-9a-f]{32}")  # nginx's $request_id


class RequestLog:
    """ASGI middleware. An id of another form is not believed: it would write into our log."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next(
            (value for name, value in scope["headers"] if name == HEADER.lower().encode()), b""
        )
        request_id = given.decode() if _ID.fullmatch(given) else uuid.uuid4().hex

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await self._app(scope, receive, send_with_id)
