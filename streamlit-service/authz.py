"""ASGI entry: what nginx asks at every request on a user's port (/authz, /refused), /healthz.

Its own process: neither pages nor the API can slow the gateway.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import bootstrap
from portal import db
from portal.audit.refusals import Refusals
from rest.gate import Gate
from rest.request_log import RequestLog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


def create_app() -> Starlette:
    """The application. Run with `python3 serve.py authz:create_app PORT`."""
    bootstrap.configure_logging()
    settings = bootstrap.settings()
    portal = bootstrap.portal(settings)
    refusals = Refusals(portal, "gateway")

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        refusals.follow()
        yield
        refusals.close()
        portal.database.close()

    def healthz(_: Request) -> Response:
        with portal.database.reading() as tx:
            db.ping(tx)
        return JSONResponse({"status": "ok"})

    gate = Gate(portal, bootstrap.authenticator(settings), refusals)
    return Starlette(
        routes=[*gate.routes, Route("/healthz", healthz)],
        middleware=[Middleware(RequestLog)],
        lifespan=lifespan,
    )
