"""A caller's deployments: ask for one, follow it, act on it, read its log."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import PlainTextResponse, StreamingResponse
from portal import deployments
from portal.context import Portal
from portal.core.errors import Forbidden, NotAuthenticated, PortalError
from portal.core.models import Deployment, Order, State
from portal.deployments import lifecycle
from worker_client import MAX_TAIL

from rest import slow
from rest.dependencies import Caller, Guarded, Product, Services, Wired
from rest.views.base import Moment
from rest.views.deployments import DeploymentView, EventView, HistoryView, OrderBody
from rest.visit import UNBUFFERED, Visit

EVENT_POLL_S = 0.2
LOG_POLL_S = 0.7
ENDED = {State.STOPPED, State.FAILED, State.REMOVED}
KEEPALIVE_S = 15.0

router = APIRouter(prefix="/deployments", route_class=Guarded)


@router.get("")
def index(portal: Product, user: Caller) -> list[DeploymentView]:
    return [_view(portal, deployment) for deployment in deployments.mine(portal, user)]


@router.post("", status_code=202)
def create(body: OrderBody, portal: Product, user: Caller) -> DeploymentView:
    taken = {d.name for d in deployments.mine(portal, user)}
    name = deployments.propose_name(body.image, taken) if body.name is None else body.name
    order = Order(
        body.image,
        name,
        gpus=body.gpus,
        memory_gb=body.memory_gb,
        cpus=body.cpus,
        gpu_model=body.gpu_model,
        ssh=body.ssh,
        group=body.group,
    )
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


@router.get("/{deployment_id}/figures")
def figures(
    deployment_id: str,
    portal: Product,
    user: Caller,
    since: Annotated[
        Moment | None,
        Query(description="left out: an hour ago; by the minute up to a day, else by the hour"),
    ] = None,
) -> HistoryView:
    return HistoryView.of(deployments.history(portal, user, deployment_id, since))


@router.get("/{deployment_id}/past")
def past(deployment_id: str, portal: Product, user: Caller) -> list[EventView]:
    return [EventView.of(event, user) for event in deployments.past(portal, user, deployment_id)]


@router.get("/{deployment_id}/events", response_class=StreamingResponse)
def events(
    request: Request, deployment_id: str, services: Wired, user: Caller
) -> StreamingResponse:
    first = deployments.get(services.portal, user, deployment_id)
    lines = _follow(services.portal, Visit(request, services), first)
    return StreamingResponse(lines, media_type="text/event-stream", headers=UNBUFFERED)


@router.get("/{deployment_id}/logs", response_class=StreamingResponse, response_model=None)
async def logs(
    request: Request,
    deployment_id: str,
    services: Wired,
    user: Caller,
    tail: Annotated[int, Query(ge=1, le=MAX_TAIL)] = 200,
    follow: bool = False,
    download: bool = False,
) -> Response:
    try:
        deployment = await slow.EVENTS.run(deployments.get, services.portal, user, deployment_id)
        first = await slow.LOGS.run(services.worker.logs, deployment.id, tail=tail)
    except PortalError as error:  # before the first byte
        if not download:
            raise
        return PlainTextResponse(f"{error.message} {error.hint}\n", error.status)  # to a person
    visit = Visit(request, services)
    lines = _follow_log(services, visit, deployment, first) if follow else _once(first)
    # A name needs no quotes: letters, digits and hyphens (portal.deployments.order).
    saved = {"Content-Disposition": f"attachment; filename={deployment.name}.log"}
    headers = UNBUFFERED | (saved if download else {})
    return StreamingResponse(lines, media_type="text/plain; charset=utf-8", headers=headers)


async def _once(text: bytes) -> AsyncIterator[bytes]:
    yield text


async def _follow_log(
    services: Services, visit: Visit, deployment: Deployment, first: bytes
) -> AsyncIterator[bytes]:
    """New lines until the container ends, or its owner is out.

    Asks again and again: no thread and no connection waits for a line.
    """
    text, stamp = first, ""
    while True:
        if text:
            yield text
            stamp = (
                text.rsplit(b"\n", 2)[-2 if text.endswith(b"\n") else -1].split(b" ", 1)[0].decode()
            )
        await asyncio.sleep(LOG_POLL_S)
        if not await _may_go_on(visit, deployment.owner.id):
            return
        latest = await slow.EVENTS.run(deployments.latest, services.portal, deployment)
        if latest is None or (latest.state in ENDED and not text):
            return
        try:
            text = await slow.LOGS.run(
                services.worker.logs, deployment.id, tail=MAX_TAIL, since=stamp
            )
        except PortalError:
            return


async def _follow(portal: Portal, visit: Visit, first: Deployment) -> AsyncIterator[str]:
    """Every change until the deployment settles, or its owner is out."""
    latest: Deployment | None = first
    shown, quiet = "", 0.0
    while latest is not None:
        event = _event(portal, latest)
        if event != shown:
            shown, quiet = event, 0.0
            yield event
        elif quiet >= KEEPALIVE_S:
            quiet = 0.0
            yield ": still working\n\n"
        if latest.state not in lifecycle.UNSETTLED:
            return
        await asyncio.sleep(EVENT_POLL_S)
        quiet += EVENT_POLL_S
        if not await _may_go_on(visit, first.owner.id):
            return
        latest = await slow.EVENTS.run(deployments.latest, portal, latest)


async def _may_go_on(visit: Visit, owner_id: int) -> bool:
    """Whether the reader may come in still, and is who they were."""
    try:
        user = await slow.EVENTS.run(visit.user)
    except (NotAuthenticated, Forbidden):
        return False
    return user.id == owner_id


def _event(portal: Portal, deployment: Deployment) -> str:
    name = deployment.state if deployment.state in (State.RUNNING, State.FAILED) else "progress"
    return (
        f"event: {name}\ndata: {json.dumps(_view(portal, deployment).model_dump(mode='json'))}\n\n"
    )


def _view(portal: Portal, deployment: Deployment) -> DeploymentView:
    return DeploymentView.of(deployment, portal.settings)
