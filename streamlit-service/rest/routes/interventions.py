"""For administrators: everybody's deployments, stop one, give up on one, a VM that is lost."""

from fastapi import APIRouter
from portal import deployments

from rest.dependencies import Administrator, Guarded, Product
from rest.views.interventions import OthersDeploymentView, ReasonBody

router = APIRouter(route_class=Guarded)


@router.get("/fleet/deployments")
def everybody(portal: Product, user: Administrator) -> list[OthersDeploymentView]:
    return [OthersDeploymentView.of(each) for each in deployments.everybody(portal, user)]


@router.post("/fleet/deployments/{deployment_id}/stop", status_code=202)
def stop(
    deployment_id: str, body: ReasonBody, portal: Product, user: Administrator
) -> OthersDeploymentView:
    return OthersDeploymentView.of(deployments.stop(portal, user, deployment_id, body.reason))


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
