"""REST v1: thin; every rule is in portal.

No postponed annotations here: FastAPI resolves the dependencies named inside router().
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Literal

from auth import Authenticator
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import StreamingResponse
from portal import deployments, lifecycle, placement, policy, store, users
from portal.context import Portal
from portal.errors import Forbidden
from portal.models import Deployment, Order, State, User
from views import DeploymentView, ImageView, Me, OrderBody, VmView
from worker_client import WorkerClient

EVENT_POLL_S = 0.2
KEEPALIVE_S = 15.0
MAX_TAIL = 10_000
UNSAFE = {"POST", "PUT", "PATCH", "DELETE"}


def router(portal: Portal, authenticator: Authenticator, worker: WorkerClient) -> APIRouter:
    """The routes under /api/v1."""
    api = APIRouter(prefix="/api/v1")

    def current_user(request: Request) -> User:
        _check_same_origin(request, portal.settings.public_origin)
        return users.user_of(portal, authenticator.authenticate(request.headers))

    Me_ = Annotated[User, Depends(current_user)]

    @api.get("/me")
    def me(user: Me_) -> Me:
        return Me.of(user, policy.limits_for(portal.settings, user))

    @api.get("/images")
    def images(user: Me_) -> list[ImageView]:
        with portal.store.reading() as tx:
            approved = store.approved_releases(tx)
        return [ImageView.of(image, approved[name]) for name, image in portal.catalog.items() if name in approved]

    @api.get("/vms")
    def vms(user: Me_) -> list[VmView]:
        with portal.store.reading() as tx:
            found = store.all_vms(tx)
        return [VmView.of(vm) for vm in placement.candidates(found, user)]

    @api.get("/deployments")
    def index(user: Me_) -> list[DeploymentView]:
        return [view(d) for d in deployments.mine(portal, user)]

    @api.post("/deployments", status_code=202)
    def create(body: OrderBody, user: Me_) -> DeploymentView:
        taken = {d.name for d in deployments.mine(portal, user)}
        name = deployments.propose_name(body.image, taken) if body.name is None else body.name
        order = Order(body.image, name, body.gpus, body.memory_gb, body.cpus)
        return view(deployments.request(portal, user, order))

    @api.get("/deployments/{deployment_id}")
    def show(deployment_id: str, user: Me_) -> DeploymentView:
        return view(deployments.get(portal, user, deployment_id))

    @api.delete("/deployments/{deployment_id}", status_code=202)
    def remove(deployment_id: str, user: Me_) -> DeploymentView:
        return view(deployments.act(portal, user, deployment_id, "remove"))

    @api.post("/deployments/{deployment_id}/{action}", status_code=202)
    def act(deployment_id: str, action: Literal["stop", "start", "restart"], user: Me_) -> DeploymentView:
        return view(deployments.act(portal, user, deployment_id, action))

    @api.get("/deployments/{deployment_id}/events", response_class=StreamingResponse)
    def events(deployment_id: str, user: Me_) -> StreamingResponse:
        first = deployments.get(portal, user, deployment_id)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(follow(first, user), media_type="text/event-stream", headers=headers)

    @api.get("/deployments/{deployment_id}/logs", response_class=StreamingResponse)
    def logs(
        deployment_id: str, user: Me_, tail: Annotated[int, Query(ge=0, le=MAX_TAIL)] = 200, follow: bool = False
    ) -> StreamingResponse:
        found = deployments.get(portal, user, deployment_id)
        opened = worker.logs(found.id, tail=tail, follow=follow)
        stream = opened.__enter__()  # errors become a problem document, before the first byte is sent

        def relay() -> Iterator[bytes]:
            try:
                yield from stream
            finally:
                opened.__exit__(None, None, None)

        return StreamingResponse(relay(), media_type="text/plain; charset=utf-8", headers={"X-Accel-Buffering": "no"})

    def view(deployment: Deployment) -> DeploymentView:
        return DeploymentView.of(deployment, portal.settings)

    async def follow(first: Deployment, user: User) -> AsyncIterator[str]:
        """Every change until the deployment settles."""
        current, quiet = first, 0.0
        yield _event(view(current))
        while current.state in lifecycle.WORK:
            await asyncio.sleep(EVENT_POLL_S)
            quiet += EVENT_POLL_S
            latest = await asyncio.to_thread(_again, current.id)
            if latest is None:
                return
            if latest != current:
                current, quiet = latest, 0.0
                yield _event(view(current))
            elif quiet >= KEEPALIVE_S:
                quiet = 0.0
                yield ": still working\n\n"

    def _again(deployment_id: str) -> Deployment | None:
        with portal.store.reading() as tx:
            return store.deployment(tx, deployment_id)

    return api


def _event(view: DeploymentView) -> str:
    name = view.state if view.state in (State.RUNNING, State.FAILED) else "progress"
    return f"event: {name}\ndata: {json.dumps(view.model_dump(mode='json'))}\n\n"


def _check_same_origin(request: Request, origin: str) -> None:
    """A card signs in for every site at once, so a change must come from our own pages or no browser."""
    if request.method not in UNSAFE:
        return
    given, site = request.headers.get("origin"), request.headers.get("sec-fetch-site", "none")
    if (given is not None and given != origin) or site not in ("same-origin", "none"):
        raise Forbidden("foreign_origin", "The request came from another site's page.", "Use the portal's own pages.")
