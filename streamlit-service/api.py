"""ASGI entry: REST v1, /healthz."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import bootstrap
import rest
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from portal import db
from portal.audit.refusals import Refusals
from rest import errors
from rest.dependencies import Services
from rest.request_log import RequestLog


def create_app() -> FastAPI:
    """The application. Run with `python3 serve.py api:create_app PORT`."""
    bootstrap.configure_logging()
    settings = bootstrap.settings()
    authenticator = bootstrap.authenticator(settings)
    portal = bootstrap.portal(settings, cards=authenticator.cards)

    refusals = Refusals(portal, "api")

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        refusals.follow()
        yield
        refusals.close()
        portal.database.close()

    app = FastAPIOffline(
        title="Container Portal",
        version="1",
        openapi_url="/api/openapi.json",
        docs_url="/api/docs",
        redoc_url=None,
        redirect_slashes=False,  # it would redirect to whatever host the request names
        static_url="/api/docs-assets",
        lifespan=lifespan,
    )
    errors.install(app, refusals)
    app.add_middleware(RequestLog)
    rest.install(app, Services(portal, authenticator, bootstrap.worker_client(settings)))

    @app.get("/healthz", include_in_schema=False)
    def healthz() -> dict[str, str]:
        with portal.database.reading() as tx:
            db.ping(tx)
        return {"status": "ok"}

    return app
