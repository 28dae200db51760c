"""What administrators tell people."""

from typing import Annotated

from fastapi import APIRouter, Path
from portal import announcements

from rest.dependencies import Administrator, Caller, Guarded, Product, Reader
from rest.views.announcements import AnnouncementBody, AnnouncementView

router = APIRouter(route_class=Guarded)


@router.get("/me/announcements")
def shown(portal: Product, user: Caller) -> list[AnnouncementView]:
    """What the caller is to read now, the most urgent first."""
    return [AnnouncementView.of(each) for each in announcements.shown_to(portal, user)]


@router.get("/announcements")
def planned(portal: Product, user: Reader) -> list[AnnouncementView]:
    """All that are shown, or will be."""
    return [AnnouncementView.of(each) for each in announcements.planned(portal, user)]


@router.post("/announcements", status_code=201)
def add(body: AnnouncementBody, portal: Product, user: Administrator) -> AnnouncementView:
    told = announcements.add(
        portal, user, body.text, body.level, body.audience, body.begins_at, body.ends_at
    )
    return AnnouncementView.of(told)


@router.delete("/announcements/{announcement_id}", status_code=204)
def end(
    announcement_id: Annotated[int, Path(ge=1, le=2**31 - 1)],
    portal: Product,
    user: Administrator,
) -> None:
    announcements.end(portal, user, announcement_id)
