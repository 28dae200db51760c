"""For administrators: everybody's deployments, stop one, give up on one, a VM that is lost."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse
from portal import deployments
from worker_client import MAX_TAIL

from rest.dependencies import OWN_PAGES, Administrator, Guarded, Product, Reader, Wired
from rest.views.deployments import EventView
from rest.views.interventions import OthersDeploymentView, ReasonBody

router = APIRouter(route_class=Guarded)


@router.get("/fleet/deployments")
def everybody(portal: Product, user: Reader) -> list[OthersDeploymentView]:
    return [OthersDeploymentView.of(each) for each in deployments.everybody(portal, user)]


@router.post("/fleet/deployments/{deployment_id}/stop", status_code=202)
def stop(
    deployment_id: str, body: ReasonBody, portal: Product, user: Administrator
) -> OthersDeploymentView:
    return OthersDeploymentView.of(deployments.stop(portal, user, deployment_id, body.reason))


@router.post("/fleet/deployments/{deployment_id}/start", status_code=202)
def start(
    deployment_id: str, body: ReasonBody, portal: Product, user: Administrator
) -> OthersDeploymentView:
    started = deployments.act_for(portal, user, deployment_id, "start", body.reason)
    return OthersDeploymentView.of(started)


@router.post("/fleet/deployments/{deployment_id}/restart", status_code=202)
def restart(
    deployment_id: str, body: ReasonBody, portal: Product, user: Administrator
) -> OthersDeploymentView:
    restarted = deployments.act_for(portal, user, deployment_id, "restart", body.reason)
    return OthersDeploymentView.of(restarted)


@router.post("/fleet/deployments/{deployment_id}/remove", status_code=202)
def remove(
    deployment_id: str, body: ReasonBody, portal: Product, user: Administrator
) -> OthersDeploymentView:
    removed = deployments.act_for(portal, user, deployment_id, "remove", body.reason)
    return OthersDeploymentView.of(removed)


@router.get("/fleet/deployments/{deployment_id}/events")
def events(deployment_id: str, portal: Product, user: Reader) -> list[EventView]:
    """`by` is the subject of who did it."""
    return [
        EventView.of(each, user).model_copy(update={"by": each.actor})
        for each in deployments.events(portal, user, deployment_id)
    ]


@router.get("/fleet/deployments/{deployment_id}/logs", dependencies=[OWN_PAGES])
def logs(
    deployment_id: str,
    services: Wired,
    user: Administrator,
    reason: Annotated[str, Query(max_length=2000)] = "",
    tail: Annotated[int, Query(ge=1, le=MAX_TAIL)] = 200,
) -> PlainTextResponse:
    """The last lines of anybody's log, where PORTAL_ADMINS_READ_LOGS lets administrators."""
    read = deployments.log_of(services.portal, user, deployment_id, reason)
    return PlainTextResponse(services.worker.logs(read.id, tail=tail))


@router.post("/fleet/deployments/{deployment_id}/give-up", status_code=202)
def give_up(
    deployment_id: str, body: ReasonBody, portal: Product, user: Administrator
) -> OthersDeploymentView:
    return OthersDeploymentView.of(deployments.give_up(portal, user, deployment_id, body.reason))


@router.post("/vms/{name}/lost", status_code=200)
def lost(
    name: str, body: ReasonBody, portal: Product, user: Administrator
) -> list[OthersDeploymentView]:
    ended = deployments.remove_lost_vm(portal, user, name, body.reason)
    return [OthersDeploymentView.of(each) for each in ended]
