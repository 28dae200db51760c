"""Users, for administrators; who the caller is, for everybody."""

from typing import Annotated

from auth import origin_of
from fastapi import APIRouter, Query, Request
from portal import deployments, users
from portal.scheduling import quotas
from portal.users import certificates, consent, ranges, sessions
from portal.users.certificates import CardUse

from rest.dependencies import Administrator, Caller, Guarded, Product, Reader
from rest.views.interventions import DisableBody, OthersDeploymentView, ReasonBody
from rest.views.users import AcceptBody, ConsentView, Me, SessionView, UserView

router = APIRouter(route_class=Guarded)


@router.get("/me")
def me(portal: Product, user: Caller) -> Me:
    return Me.of(user, *quotas.allowances(portal, user))


@router.get("/me/sessions")
def my_sessions(portal: Product, user: Caller) -> list[SessionView]:
    """The pages and SSH connections that the caller has open, the oldest first."""
    return [SessionView.of(each) for each in sessions.mine(portal, user)]


@router.delete("/me/sessions", status_code=204)
def sign_out(portal: Product, user: Caller) -> None:
    """Ends the caller's pages, notebook connections and SSH everywhere; containers keep running."""
    users.sign_out(portal, user)


@router.get("/me/consent")
def consent_wanted(portal: Product, user: Caller, request: Request) -> ConsentView:
    """The notice that people accept before anything else, and whether the caller has."""
    return ConsentView.of(portal, user, request.state.identity)


@router.put("/me/consent", status_code=204)
def accept(body: AcceptBody, portal: Product, user: Caller, request: Request) -> None:
    """Accepts the notice with this hash, for this session and certificate."""
    consent.accept(portal, user, request.state.identity, body.hash, origin_of(request.headers))


@router.get("/users")
def all_users(portal: Product, user: Reader) -> list[UserView]:
    return [
        UserView.of(users.account(portal, each), each, allowance)
        for each, allowance in quotas.everybody(portal, user)
    ]


@router.get("/users/{subject:path}/cards")
def list_cards(subject: str, portal: Product, user: Reader) -> list[CardUse]:
    """The certificates that somebody came in with, the newest first."""
    return certificates.of_user(portal, user, subject)


@router.get("/users/{subject:path}/sessions")
def list_sessions(subject: str, portal: Product, user: Reader) -> list[SessionView]:
    """What somebody has open now."""
    return [SessionView.of(each) for each in sessions.of_user(portal, user, subject)]


@router.put("/users/{subject:path}/group", status_code=204)
def set_group(
    subject: str, group: Annotated[str, Query(max_length=60)], portal: Product, user: Administrator
) -> None:
    users.set_group(portal, user, subject, group)


@router.put("/users/{subject:path}/name", status_code=204)
def rename(
    subject: str, name: Annotated[str, Query(max_length=64)], portal: Product, user: Administrator
) -> None:
    users.rename(portal, user, subject, name)


@router.post("/users/{subject:path}/retire", status_code=202)
def retire(
    subject: str, body: ReasonBody, portal: Product, user: Administrator
) -> list[OthersDeploymentView]:
    ended = deployments.retire(portal, user, subject, body.reason)
    return [OthersDeploymentView.of(each) for each in ended]


@router.post("/users/{subject:path}/restore", status_code=204)
def restore(subject: str, portal: Product, user: Administrator) -> None:
    users.restore(portal, user, subject)


@router.post("/users/{subject:path}/disable", status_code=202)
def disable(
    subject: str, body: DisableBody, portal: Product, user: Administrator
) -> list[OthersDeploymentView]:
    """Those of their containers that are stopped."""
    stopped = deployments.disable(portal, user, subject, body.reason, stop=body.stop)
    return [OthersDeploymentView.of(each) for each in stopped]


@router.post("/users/{subject:path}/enable", status_code=204)
def enable(subject: str, portal: Product, user: Administrator) -> None:
    """Of somebody whose account is disabled or dormant."""
    users.enable(portal, user, subject)


@router.post("/users/{subject:path}/end-sessions", status_code=202)
def end_sessions(subject: str, body: ReasonBody, portal: Product, user: Administrator) -> None:
    users.end_sessions(portal, user, subject, body.reason)


@router.post("/users/{subject:path}/merge", status_code=204)
def merge(subject: str, other: str, portal: Product, user: Administrator) -> None:
    users.merge(portal, user, subject, other)


@router.delete("/users/{subject:path}/merge", status_code=204)
def unmerge(subject: str, portal: Product, user: Administrator) -> None:
    """The subject is another name of somebody, and was not the same person."""
    users.unmerge(portal, user, subject)


@router.delete("/users/{subject:path}/ports", status_code=204)
def free_ports(subject: str, portal: Product, user: Administrator) -> None:
    ranges.free(portal, user, subject)
