"""A caller's deployments: ask for one, follow it, act on it, read its log."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from portal import deployments, lifecycle, store
from portal.context import Portal
from portal.models import Deployment, Order, State
from views import DeploymentView, OrderBody

from rest.caller import Caller, Product, Wired

EVENT_POLL_S = 0.2
KEEPALIVE_S = 15.0
MAX_TAIL = 10_000
UNBUFFERED = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

router = APIRouter(prefix="/deployments")


@router.get("")
def index(portal: Product, user: Caller) -> list[DeploymentView]:
    return [_view(portal, found) for found in deployments.mine(portal, user)]


@router.post("", status_code=202)
def create(body: OrderBody, portal: Product, user: Caller) -> DeploymentView:
    taken = {d.name for d in deployments.mine(portal, user)}
    name = deployments.propose_name(body.image, taken) if body.name is None else body.name
    order = Order(body.image, name, body.gpus, body.memory_gb, body.cpus, body.gpu_model)
    return _view(portal, deployments.request(portal, user, order))


@router.get("/{deployment_id}")
def show(deployment_id: str, portal: Product, user: Caller) -> DeploymentView:
    return _view(portal, deployments.get(portal, user, deployment_id))


@router.delete("/{deployment_id}", status_code=202)
def remove(deployment_id: str, portal: Product, user: Caller) -> DeploymentView:
    return _view(portal, deployments.act(portal, user, deployment_id, "remove"))


@router.post("/{deployment_id}/{action}", status_code=202)
def act(
    deployment_id: str, action: Literal["stop", "start", "restart"], portal: Product, user: Caller
) -> DeploymentView:
    return _view(portal, deployments.act(portal, user, deployment_id, action))


@router.get("/{deployment_id}/events", response_class=StreamingResponse)
def events(deployment_id: str, portal: Product, user: Caller) -> StreamingResponse:
    first = deployments.get(portal, user, deployment_id)
    return StreamingResponse(_follow(portal, first), media_type="text/event-stream", headers=UNBUFFERED)


@router.get("/{deployment_id}/logs", response_class=StreamingResponse)
def logs(
    deployment_id: str,
    services: Wired,
    user: Caller,
    tail: Annotated[int, Query(ge=0, le=MAX_TAIL)] = 200,
    follow: bool = False,
) -> StreamingResponse:
    found = deployments.get(services.portal, user, deployment_id)
    opened = services.worker.logs(found.id, tail=tail, follow=follow)
    stream = opened.__enter__()  # errors become a problem document, before the first byte is sent

    def relay() -> Iterator[bytes]:
        try:
            yield from stream
        finally:
            opened.__exit__(None, None, None)

    return StreamingResponse(relay(), media_type="text/plain; charset=utf-8", headers=UNBUFFERED)


async def _follow(portal: Portal, first: Deployment) -> AsyncIterator[str]:
    """Every change until the deployment settles."""
    current, quiet = first, 0.0
    yield _event(portal, current)
    while current.state in lifecycle.UNSETTLED:
        await asyncio.sleep(EVENT_POLL_S)
        quiet += EVENT_POLL_S
        latest = await asyncio.to_thread(_again, portal, current.id)
        if latest is None:
            return
        if latest != current:
            current, quiet = latest, 0.0
            yield _event(portal, current)
        elif quiet >= KEEPALIVE_S:
            quiet = 0.0
            yield ": still working\n\n"


def _again(portal: Portal, deployment_id: str) -> Deployment | None:
    with portal.store.reading() as tx:
        return store.deployment(tx, deployment_id)


def _event(portal: Portal, deployment: Deployment) -> str:
    name = deployment.state if deployment.state in (State.RUNNING, State.FAILED) else "progress"
    return f"event: {name}\ndata: {json.dumps(_view(portal, deployment).model_dump(mode='json'))}\n\n"


def _view(portal: Portal, deployment: Deployment) -> DeploymentView:
    return DeploymentView.of(deployment, portal.settings)
