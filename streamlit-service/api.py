"""ASGI entry: /authz for nginx, REST v1, /healthz. Its own process, so pages never delay the gateway."""

from __future__ import annotations

import asyncio
import html
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import http_errors
import rest
import sqlalchemy as sa
import wiring
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from portal import gateway
from portal.errors import PortalError
from rest.caller import Services

SILENT = PortalError(
    "silent",
    "Your container does not answer just now.",
    "Reload in a moment. If it stays so, its log in the portal says why.",
)
REFUSED_PAGE = (Path(__file__).parent / "refused.html").read_text(encoding="utf-8")


def create_app() -> FastAPI:
    """The application. Run with `uvicorn --factory api:create_app`."""
    wiring.configure_logging()
    settings = wiring.settings()
    portal = wiring.portal(settings)
    authenticator = wiring.authenticator(settings)
    background: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        portal.store.close()

    app = FastAPI(title="Container Portal", version="1", openapi_url="/api/openapi.json", docs_url="/api/docs",
                  redoc_url=None, lifespan=lifespan)  # fmt: skip
    http_errors.install(app)
    rest.install(app, Services(portal, authenticator, wiring.worker_client(settings)))

    @app.get("/healthz", include_in_schema=False)
    def healthz() -> dict[str, str]:
        with portal.store.reading() as tx:
            tx.execute(sa.select(1))
        return {"status": "ok"}

    @app.get("/authz", include_in_schema=False)
    async def authz(request: Request) -> Response:
        """Asked by nginx for every request on a user's port. 204 with the route, or 403.

        Runs in the event loop on purpose: one indexed read, no other waiting (p50 under 2 ms).
        """
        try:
            route = _route(request)
        except PortalError as error:
            return Response(status_code=403, headers={"X-Reason": error.code})
        if route.touch:
            task = asyncio.create_task(asyncio.to_thread(gateway.touch, portal, route.deployment_id))
            background.add(task)
            task.add_done_callback(background.discard)
        authorization = {"X-Authorization": f"token {route.token}"} if route.token else {}
        return Response(status_code=204, headers={"X-Upstream": route.upstream, **authorization})

    @app.get("/refused", include_in_schema=False)
    async def refused(request: Request) -> HTMLResponse:
        """The page behind a refusal: the same decision again, in words."""
        try:
            _route(request)
        except PortalError as error:
            return _page(error, settings.public_origin)
        return _page(SILENT, settings.public_origin)

    def _route(request: Request) -> gateway.Route:
        identity = authenticator.authenticate(request.headers)
        return gateway.route(portal, identity, int(request.headers.get("X-Gateway-Port", "0")))

    return app


def _page(error: PortalError, portal_url: str) -> HTMLResponse:
    words = {"message": error.message, "hint": error.hint, "code": error.code, "portal": portal_url}
    page = REFUSED_PAGE
    for key, text in words.items():
        page = page.replace("{{" + key + "}}", html.escape(text))
    status = error.status if error.status != 400 else 503
    return HTMLResponse(page, status, headers={"Cache-Control": "no-store"})
