"""What nginx asks: may this certificate open this port (/authz), and why not (/refused)."""

import asyncio
import html
from pathlib import Path

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from portal.context import Portal
from portal.core.errors import DatabaseTrouble, PortalError, Unavailable
from portal.deployments import gateway

from rest import slow
from rest.dependencies import Services, Wired

SILENT = Unavailable(
    "silent",
    "Your container does not answer just now.",
    "Reload in a moment. If it stays so, its log in the portal says why.",
)
REFUSED_PAGE = (Path(__file__).parent / "refused.html").read_text(encoding="utf-8")

log = structlog.get_logger()
router = APIRouter(include_in_schema=False)
_touching: dict[str, asyncio.Task[None]] = {}
"""Deployment id → the write of its last activity that is under way: one at a time."""


@router.get("/authz")
async def authz(request: Request, services: Wired) -> Response:
    """204 with the route, or 403. Asked for every request on a user's port.

    Runs in the event loop on purpose: one indexed query, no other waiting (p50 under 2 ms).
    """
    try:
        route = _route(request, services)
    except PortalError as error:
        return Response(status_code=403, headers={"X-Reason": error.code})
    if route.touch and route.deployment_id not in _touching:
        # The loop itself keeps only a weak reference.
        _touching[route.deployment_id] = asyncio.create_task(
            _touch(services.portal, route.deployment_id)
        )
    authorization = {"X-Authorization": f"token {route.token}"} if route.token else {}
    return Response(status_code=204, headers={"X-Upstream": route.upstream, **authorization})


async def _touch(portal: Portal, deployment_id: str) -> None:
    try:
        await slow.TOUCHES.run(gateway.touch, portal, deployment_id)
    except DatabaseTrouble as trouble:  # the next request tries again
        log.warning("activity_not_noted", deployment=deployment_id, code=trouble.code)
    finally:
        _touching.pop(deployment_id, None)


@router.get("/refused")
async def refused(request: Request, services: Wired) -> HTMLResponse:
    """The page behind a refusal: the same decision again, in words."""
    try:
        _route(request, services)
    except PortalError as error:
        return _page(error, services)
    return _page(SILENT, services)


def _route(request: Request, services: Services) -> gateway.Route:
    identity = services.authenticator.authenticate(request.headers)
    return gateway.route(services.portal, identity, int(request.headers.get("X-Gateway-Port", "0")))


def _page(error: PortalError, services: Services) -> HTMLResponse:
    settings = services.portal.settings
    words = {
        "message": error.message,
        "hint": error.hint,
        "code": error.code,
        "portal": settings.public_origin,
        "contact": settings.help_contact,
    }
    page = REFUSED_PAGE
    for key, text in words.items():
        page = page.replace("{{" + key + "}}", html.escape(text))
    return HTMLResponse(page, error.status, headers={"Cache-Control": "no-store"})
