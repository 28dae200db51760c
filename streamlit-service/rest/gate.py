"""What the gateway asks: who may open a port, why not, and whose connections must end."""

from __future__ import annotations

import asyncio
import html
import re
from datetime import UTC, datetime
from pathlib import Path

import structlog
from auth import Authenticator, note_refusal, origin_of
from cachetools import TTLCache
from portal.audit.refusals import Refusals
from portal.context import Portal
from portal.core.errors import DatabaseTrouble, NotAuthenticated, PortalError, Unavailable
from portal.core.people import Identity, Origin
from portal.core.ports import range_index_of, range_of
from portal.core.settings import Settings
from portal.deployments import gateway
from portal.users import ranges
from portal.users.evictions import Evictions
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from rest import slow

SILENT = Unavailable(
    "silent",
    "Your container does not answer just now.",
    "Reload in a moment. If this keeps happening, its log in the portal says why.",
)
NOTED, NOTED_S = 20_000, 60
ASKED_AGAIN_S, ASKED_AGAIN_TIMES = 0.1, 40
"""Until a responder's first word on a card is there."""
REFUSED_PAGE = (Path(__file__).parent / "refused.html").read_text(encoding="utf-8")

log = structlog.get_logger()


class Gate:
    """The routes over one portal."""

    def __init__(self, portal: Portal, authenticator: Authenticator, refusals: Refusals) -> None:
        self._portal, self._refusals = portal, refusals
        self._authenticator = authenticator
        self._patience = ASKED_AGAIN_TIMES if portal.settings.ocsp else 0
        self._evictions = Evictions(portal, authenticator.cards.is_revoked)
        self._noted: TTLCache[tuple[str, int, str, str], bool] = TTLCache(NOTED, NOTED_S)
        """Who opened what, with which certificate, from where, a moment ago."""
        self._touching: dict[str, asyncio.Task[None]] = {}
        """Deployment id → the write of its last activity that is under way: one at a time."""
        self.routes = [
            Route("/authz", self),
            Route("/refused", self._refused),
            Route("/evictions", self._evicted),
            Route("/knocked", self._knocked),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """/authz: 204 with the route, or 403. Asked for every request on a user's port.

        ASGI as it comes, and in the event loop on purpose: one indexed query, no other waiting.
        """
        headers = Headers(scope=scope)
        response = self._decide(headers)
        for _ in range(self._patience):
            if response.headers.get("X-Reason") != "revocation_unknown":
                break
            await asyncio.sleep(ASKED_AGAIN_S)
            response = self._decide(headers)
        await response(scope, receive, send)

    def _decide(self, headers: Headers) -> Response:
        identity, origin = None, origin_of(headers)
        try:
            identity = self._authenticator.authenticate(headers, patient=False)
            route = self._route(identity, headers)
        except PortalError as error:
            note_refusal(self._refusals, error, headers, identity)
            return Response(status_code=403, headers={"X-Reason": error.code})
        visitor = (route.deployment_id, route.port, identity.fingerprint, origin.address)
        if (
            route.touch or visitor not in self._noted
        ) and route.deployment_id not in self._touching:
            self._noted[visitor] = True
            # The loop itself keeps only a weak reference.
            self._touching[route.deployment_id] = asyncio.create_task(
                self._touch(route, identity, origin)
            )
        authorization = {"X-Authorization": f"token {route.token}"} if route.token else {}
        return Response(status_code=204, headers={"X-Upstream": route.upstream, **authorization})

    async def _touch(self, route: gateway.Route, identity: Identity, origin: Origin) -> None:
        used = (self._portal, route, identity, origin)
        try:
            await slow.TOUCHES.run(gateway.touch, *used)
        except DatabaseTrouble as trouble:  # the next request tries again
            visitor = (route.deployment_id, route.port, identity.fingerprint, origin.address)
            self._noted.pop(visitor, None)
            log.warning("activity_not_noted", deployment=route.deployment_id, code=trouble.code)
        finally:
            self._touching.pop(route.deployment_id, None)

    async def _refused(self, request: Request) -> Response:
        """The page behind a refusal: the same decision again, in words."""
        try:
            identity = self._authenticator.authenticate(request.headers, patient=False)
            self._route(identity, request.headers)
        except PortalError as error:
            return self._page(error)
        return self._page(SILENT)

    def _evicted(self, request: Request) -> Response:
        """Of the user ports that have open connections, the spans whose must end: a line each."""
        try:
            self._authenticator.check_proxy(request.headers)
        except NotAuthenticated:
            return Response(status_code=403)
        asked = request.query_params
        since = _open_since(self._portal.settings, asked.get("open", ""), asked.get("host", ""))
        due = self._evictions.due(since, asked.get("gateway", ""))
        spans = sorted({(range_of(index)[0], range_of(index)[-1]) for index in due})
        return PlainTextResponse("".join(f"{first} {last}\n" for first, last in spans))

    def _knocked(self, request: Request) -> Response:
        """Somebody whose certificate nginx itself refused: the word of it, mirrored."""
        try:
            self._authenticator.authenticate(request.headers, patient=False)
        except NotAuthenticated as error:
            note_refusal(self._refusals, error, request.headers)
        return Response(status_code=204)

    def _route(self, identity: Identity, headers: Headers) -> gateway.Route:
        port = headers.get("X-Gateway-Port", "")
        door = gateway.Door(
            int(port) if port.isdecimal() else 0,
            headers.get("X-Gateway-Host", ""),
            headers.get("X-Gateway-Name", ""),
        )
        return gateway.route(self._portal, identity, door)

    def _page(self, error: PortalError) -> HTMLResponse:
        settings = self._portal.settings
        words = {
            "message": error.message,
            "hint": error.hint,
            "code": error.code,
            "portal": settings.public_origin,
            "contact": settings.help_contact,
            "classification": settings.classification,
            "colour": settings.classification_colour,
            "ink": settings.classification_ink,
        }
        page = REFUSED_PAGE
        for key, text in words.items():
            page = page.replace("{{" + key + "}}", html.escape(text))
        return HTMLResponse(page, error.status, headers={"Cache-Control": "no-store"})


def _open_since(settings: Settings, listed: str, host: str) -> dict[int, datetime | None]:
    """Port ranges as a gateway lists them, 10000@1795975200,10300@0: since when, 0 is unknown.

    With names it lists ports of VMs, which several people may have.
    """
    if settings.has_names:
        addresses = range(ranges.BY_NAMES)
    else:
        own = settings.hosts.index(host) if host in settings.hosts else 0
        addresses = range(own, own + 1)
    found = re.findall(r"(\d{5})@(\d{1,10})", listed)
    return {
        index: datetime.fromtimestamp(int(since), UTC) if int(since) else None
        for port, since in found
        for address in addresses
        if (index := range_index_of(int(port), address)) is not None
    }
