"""Releases: what is in them for everybody; decisions, findings and who runs what for curators.

SSH keys.
"""

from typing import Annotated, Literal

from fastapi import APIRouter
from portal import images, users
from portal.images.report import Report
from pydantic import BaseModel, ConfigDict, Field

from rest.dependencies import Caller, Product
from rest.views.images import ReleaseView, RunView, SshKeyView

router = APIRouter()


class ReasonBody(BaseModel):
    """Why; the owners of containers read it."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(max_length=500)] = ""


class KeyBody(BaseModel):
    """A public key, as in a .pub file."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(max_length=60)] = ""
    key: Annotated[str, Field(max_length=4000)]


@router.get("/releases")
def all_releases(portal: Product, user: Caller) -> list[ReleaseView]:
    return [ReleaseView.of(one) for one in images.all_releases(portal, user)]


@router.get("/releases/{release_id}/packages")
def packages(release_id: int, portal: Product, user: Caller) -> dict[str, str]:
    found = images.contents(portal, user, release_id)
    return dict(found.packages) if found else {}


@router.get("/releases/{release_id}/report")
def report(release_id: int, portal: Product, user: Caller) -> Report | None:
    found = images.contents(portal, user, release_id)
    return found.report if found else None


@router.get("/releases/{release_id}/deployments")
def who_runs(release_id: int, portal: Product, user: Caller) -> list[RunView]:
    return [RunView.of(one) for one in images.who_runs(portal, user, release_id)]


@router.post("/releases/{release_id}/{action}")
def decide(
    release_id: int,
    action: Literal["approve", "deprecate", "withdraw"],
    portal: Product,
    user: Caller,
    body: ReasonBody | None = None,
) -> ReleaseView:
    if action == "approve":
        return ReleaseView.of(images.approve(portal, user, release_id))
    act = {"deprecate": images.deprecate, "withdraw": images.withdraw}[action]
    return ReleaseView.of(act(portal, user, release_id, body.reason if body else ""))


@router.get("/ssh-keys")
def ssh_keys(_: Product, user: Caller) -> list[SshKeyView]:
    return SshKeyView.all_of(user)


@router.post("/ssh-keys", status_code=201)
def add_key(body: KeyBody, portal: Product, user: Caller) -> list[SshKeyView]:
    return SshKeyView.all_of(users.add_key(portal, user, body.name, body.key))


@router.delete("/ssh-keys", status_code=204)
def remove_key(fingerprint: str, portal: Product, user: Caller) -> None:
    users.remove_key(portal, user, fingerprint)
