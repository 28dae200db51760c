"""Groups: for who leads one, and for administrators, who may do what leads may."""

from typing import Annotated

from fastapi import APIRouter, Query
from portal import deployments, users
from portal.context import Portal
from portal.core.people import User
from portal.core.resources import Quota
from portal.scheduling import groups, quotas

from rest.dependencies import Administrator, Caller, GroupReader, Guarded, Lead, Product
from rest.views.deployments import EventView
from rest.views.groups import GroupView, MemberBody, MemberView
from rest.views.interventions import OthersDeploymentView, ReasonBody
from rest.views.users import QuotaBody

router = APIRouter(prefix="/groups", route_class=Guarded)


@router.get("")
def led(portal: Product, user: Caller) -> list[GroupView]:
    """Those that you lead; for administrators all."""
    return [GroupView.of(allowance) for allowance in groups.led(portal, user)]


@router.put("/{group}/name", status_code=204)
def rename(
    group: str, name: Annotated[str, Query(max_length=60)], portal: Product, user: Administrator
) -> None:
    users.rename_group(portal, user, group, name)


@router.get("/{group}/members")
def members(group: str, portal: Product, user: GroupReader) -> list[MemberView]:
    return [MemberView.of(member) for member in groups.members(portal, user, group)]


@router.put("/{group}/members/{subject:path}", status_code=204)
def join(group: str, subject: str, body: MemberBody, portal: Product, user: Administrator) -> None:
    """Puts somebody into the group, or changes whether they lead it."""
    users.join(portal, user, group, subject, leads=body.leads)


@router.delete("/{group}/members/{subject:path}", status_code=204)
def leave(group: str, subject: str, portal: Product, user: Administrator) -> None:
    users.leave(portal, user, group, subject)


@router.put("/{group}/shares/{subject:path}", status_code=204)
def set_share(group: str, subject: str, body: QuotaBody, portal: Product, user: Lead) -> None:
    """What one member may hold of the group's quota."""
    key = quotas.member_key(group, subject)
    quotas.set_quota(portal, user, quotas.MEMBER, key, Quota(**body.model_dump()))


@router.delete("/{group}/shares/{subject:path}", status_code=204)
def clear_share(group: str, subject: str, portal: Product, user: Lead) -> None:
    """The member may hold all of the group's quota again."""
    key = quotas.member_key(group, subject)
    quotas.set_quota(portal, user, quotas.MEMBER, key, None)


@router.get("/{group}/deployments")
def of_group(group: str, portal: Product, user: GroupReader) -> list[OthersDeploymentView]:
    """All that counts for the group and is not removed."""
    return [OthersDeploymentView.of(each) for each in deployments.of_group(portal, user, group)]


@router.get("/{group}/deployments/{deployment_id}/events")
def events(group: str, deployment_id: str, portal: Product, user: GroupReader) -> list[EventView]:
    """`by` is the subject of who did it."""
    return [
        EventView.of(each, user).model_copy(update={"by": each.actor})
        for each in deployments.events_in_group(portal, user, group, deployment_id)
    ]


@router.post("/{group}/deployments/{deployment_id}/start", status_code=202)
def start(
    group: str, deployment_id: str, body: ReasonBody, portal: Product, user: Lead
) -> OthersDeploymentView:
    return _act(portal, user, group, deployment_id, "start", body.reason)


@router.post("/{group}/deployments/{deployment_id}/restart", status_code=202)
def restart(
    group: str, deployment_id: str, body: ReasonBody, portal: Product, user: Lead
) -> OthersDeploymentView:
    return _act(portal, user, group, deployment_id, "restart", body.reason)


@router.post("/{group}/deployments/{deployment_id}/remove", status_code=202)
def remove(
    group: str, deployment_id: str, body: ReasonBody, portal: Product, user: Lead
) -> OthersDeploymentView:
    return _act(portal, user, group, deployment_id, "remove", body.reason)


def _act(
    portal: Portal, user: User, group: str, deployment_id: str, action: str, reason: str
) -> OthersDeploymentView:
    done = deployments.act_in_group(portal, user, group, deployment_id, action, reason)
    return OthersDeploymentView.of(done)


@router.post("/{group}/deployments/{deployment_id}/stop", status_code=202)
def stop(
    group: str, deployment_id: str, body: ReasonBody, portal: Product, user: Lead
) -> OthersDeploymentView:
    stopped = deployments.stop_in_group(portal, user, group, deployment_id, body.reason)
    return OthersDeploymentView.of(stopped)
