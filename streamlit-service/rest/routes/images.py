"""Images that may be deployed, and releases: contents for everybody, decisions for curators."""

from typing import Literal

from fastapi import APIRouter
from portal import images
from portal.images.report import Report

from rest.dependencies import Caller, CatalogueReader, Curator, Guarded, Product
from rest.views.images import ImageView, ReasonBody, ReleaseView, RunView

router = APIRouter(route_class=Guarded)


@router.get("/images")
def offered_images(portal: Product, user: Caller) -> list[ImageView]:
    return [ImageView.of(offered) for offered in images.offered(portal, user)]


@router.get("/releases")
def all_releases(portal: Product, user: Caller) -> list[ReleaseView]:
    return [ReleaseView.of(release) for release in images.all_releases(portal, user)]


@router.get("/releases/{release_id}/packages")
def packages(release_id: int, portal: Product, user: Caller) -> dict[str, str]:
    contents = images.contents(portal, user, release_id)
    return dict(contents.packages) if contents else {}


@router.get("/releases/{release_id}/report")
def report(release_id: int, portal: Product, user: Caller) -> Report | None:
    contents = images.contents(portal, user, release_id)
    return contents.report if contents else None


@router.get("/releases/{release_id}/deployments")
def who_runs(release_id: int, portal: Product, user: CatalogueReader) -> list[RunView]:
    return [RunView.of(deployment) for deployment in images.who_runs(portal, user, release_id)]


@router.post("/releases/{release_id}/{action}")
def decide(
    release_id: int,
    action: Literal["approve", "deprecate", "withdraw"],
    portal: Product,
    user: Curator,
    body: ReasonBody | None = None,
) -> ReleaseView:
    if action == "approve":
        return ReleaseView.of(images.approve(portal, user, release_id))
    act = {"deprecate": images.deprecate, "withdraw": images.withdraw}[action]
    return ReleaseView.of(act(portal, user, release_id, body.reason if body else ""))
