"""Usage: one's own, and everybody's for administrators."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from portal.users import usage
from portal.users.usage import Dimension
from pydantic import AwareDatetime

from rest.dependencies import Caller, Guarded, Product
from rest.views.users import UsageView

router = APIRouter(route_class=Guarded)


@router.get("/usage", response_model=list[UsageView])
def read_usage(
    portal: Product,
    user: Caller,
    by: Annotated[list[Dimension], Query()] = ["day"],  # noqa: B006  (FastAPI copies it)
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
    everybody: bool = False,
    form: Annotated[Literal["json", "csv"], Query(alias="format")] = "json",
) -> list[UsageView] | Response:
    usages = usage.report(portal, user, by, since, until, everybody=everybody)
    if form == "json":
        return [UsageView.of(by, row) for row in usages]
    return Response(
        usage.as_csv(by, usages),
        media_type="text/csv",
        headers={"Content-Disposition": "attachment; filename=usage.csv"},
    )
