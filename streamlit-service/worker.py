"""Process entry: the reconcile loop, and the endpoint that wakes it and streams logs.

The only process that holds engine credentials (invariant 10).
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import bootstrap
import checks
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from portal import audit, db
from portal.context import Portal
from portal.core.engine import Engine
from portal.core.errors import NotFound, Unavailable
from portal.core.models import Vm
from portal.core.signatures import Sign, Signed
from portal.deployments.container_spec import container_name
from portal.jobs import verify_vm
from portal.jobs.reconciler import Reconciler
from portal.monitoring import metrics
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from pydantic import BaseModel
from rest import errors
from rest.request_log import RequestLog
from rest.slow import Slow


class Export(BaseModel):
    """The SHA-256 of its lines but the last, and the number and hash of its last event."""

    body: str
    last: int
    hash: str


LOGS_PER_VM = 8
"""Logs that are read at once: a VM that does not answer keeps no other's from being read."""


def create_app() -> FastAPI:
    """The worker. Run with `python3 serve.py worker:create_app PORT`, one process per database."""
    bootstrap.configure_logging()
    settings = bootstrap.settings()
    woken = threading.Event()
    authenticator = bootstrap.authenticator(settings)
    portal = bootstrap.portal(settings, wake=woken.set, cards=authenticator.cards)
    engines = bootstrap.Engines(settings)
    key = bootstrap.audit_key(settings)
    reconciler = bootstrap.reconciler(portal, engines, woken, checks.everything, key)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        thread = threading.Thread(target=reconciler.run, name="reconcile", daemon=True)
        thread.start()
        yield
        reconciler.stop()
        thread.join(timeout=5)
        portal.database.close()

    def from_service(request: Request) -> None:
        authenticator.check_proxy(request.headers)

    REGISTRY.register(metrics.Records(portal, lambda: bootstrap.revocation_ends(settings)))
    app = FastAPI(
        title="Container Portal worker", openapi_url=None, redirect_slashes=False, lifespan=lifespan
    )
    errors.install(app)
    app.add_middleware(RequestLog)
    app.include_router(_for_monitoring(reconciler))
    app.include_router(
        _for_services(portal, reconciler, engines, key), dependencies=[Depends(from_service)]
    )
    return app


def _for_monitoring(reconciler: Reconciler) -> APIRouter:
    router = APIRouter()

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Whether the loop goes round; of a standby, too."""
        if not reconciler.turns:
            raise Unavailable("worker_silent", "The worker's loop hangs.", "Restart the worker.")
        return {"status": "ok"}

    @router.get("/metrics")
    def scrape() -> Response:
        """For Prometheus, on the services' network only; nothing in it is secret."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return router


def _log(engine: Engine, name: str, tail: int, since: str) -> bytes:
    if engine.inspect(name) is None:
        raise NotFound(
            "no_container",
            "There is no log: the container does not exist on the VM.",
            "Start it first.",
        )
    return engine.logs(name, tail=tail, since=since)


def _for_services(
    portal: Portal, reconciler: Reconciler, engines: bootstrap.Engines, key: Sign | None
) -> APIRouter:
    """What pages and the API ask of the worker; they have checked who asks."""
    router = APIRouter()

    @router.post("/wake", status_code=204)
    async def wake() -> None:
        reconciler.wake()

    readers: defaultdict[int, Slow] = defaultdict(lambda: Slow(LOGS_PER_VM))

    @router.get("/logs/{deployment_id}")
    async def logs(deployment_id: str, tail: int = 200, since: str = "") -> Response:
        with portal.database.reading() as tx:
            deployment = db.deployments.by_id(tx, deployment_id)
        if deployment is None or deployment.vm is None:
            raise NotFound("no_such_deployment", "There is no such container.")
        engine, name = engines(deployment.vm), container_name(deployment_id)
        lines = await readers[deployment.vm.id].run(_log, engine, name, tail, since)
        return Response(lines, media_type="text/plain")

    @router.post("/audit/signature")
    def sign(export: Export) -> Signed | None:
        """Of an export that ends with an event of the records."""
        if key is None:
            return None
        return audit.sign_export(portal, key, export.body, export.last, export.hash)

    def known(name: str) -> Vm:
        with portal.database.reading() as tx:
            vm = db.vms.by_name(tx, name)
        if vm is None:
            raise NotFound("no_such_vm", f"There is no VM {name[:60]}.")
        return vm

    @router.post("/vms/{name}/isolation")
    def isolation(name: str) -> dict[str, Any]:
        """What containers of two made-up people reach there now."""
        return reconciler.measure(known(name)).details()

    @router.post("/vms/{name}/verify")
    def verification(name: str) -> StreamingResponse:
        """Each check as a line of JSON, as it is done."""
        vm = known(name)
        checks = verify_vm.verify_vm(
            portal, vm, engines(vm), reconciler.is_ready, reconciler.verify
        )
        return StreamingResponse(
            (json.dumps(vars(check)) + "\n" for check in checks),
            media_type="application/x-ndjson",
        )

    return router
