"""For administrators: VMs, users and quotas. For everybody: usage."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Response
from portal import db, vms
from portal.core.models import Quota, User
from portal.scheduling import quotas
from portal.users import permissions, usage
from portal.users.usage import Dimension
from pydantic import AwareDatetime

from rest.dependencies import Caller, Product
from rest.views.deployments import AssignmentBody, FleetVmView, QuotaBody, UsageView, UserView

router = APIRouter()


def _administrator(user: Caller) -> User:
    permissions.check_admin(user)
    return user


Admin = Annotated[User, Depends(_administrator)]


@router.get("/fleet")
def fleet(portal: Product, _: Admin) -> list[FleetVmView]:
    with portal.database.reading() as tx:
        owners = {one.id: one.subject for one in db.users.all_users(tx)}
        return [FleetVmView.of(vm, owners.get(vm.owner_id or 0)) for vm in db.vms.all_vms(tx)]


@router.post("/vms/{name}/{action}", status_code=204)
def change_vm(
    name: str, action: Literal["drain", "activate"], portal: Product, user: Admin
) -> None:
    {"drain": vms.drain, "activate": vms.activate}[action](portal, user, name)


@router.put("/vms/{name}/assignment", status_code=204)
def assign_vm(name: str, body: AssignmentBody, portal: Product, user: Admin) -> None:
    vms.assign(portal, user, name, owner=body.owner, pool=body.pool)


@router.delete("/vms/{name}", status_code=204)
def remove_vm(name: str, portal: Product, user: Admin) -> None:
    vms.remove(portal, user, name)


@router.get("/users")
def users(portal: Product, _: Admin) -> list[UserView]:
    with portal.database.reading() as tx:
        return [
            UserView.of(one, quotas.allowance(portal, tx, one)) for one in db.users.all_users(tx)
        ]


@router.put("/users/{subject}/group", status_code=204)
def set_group(
    subject: str, group: Annotated[str, Query(max_length=60)], portal: Product, user: Admin
) -> None:
    quotas.set_group(portal, user, subject, group)


@router.get("/quotas")
def all_quotas(portal: Product, _: Admin) -> list[dict[str, str | int | float | None]]:
    with portal.database.reading() as tx:
        return [
            {"scope": scope, "key": key, **vars(row)}
            for (scope, key), row in db.quotas.all_quotas(tx).items()
        ]


@router.put("/quotas/{scope}", status_code=204)
def set_quota(
    scope: Literal["default", "group", "user"],
    body: QuotaBody,
    portal: Product,
    user: Admin,
    key: str = "",
) -> None:
    quotas.set_quota(portal, user, scope, key, Quota(**body.model_dump()))


@router.delete("/quotas/{scope}", status_code=204)
def clear_quota(
    scope: Literal["default", "group", "user"], portal: Product, user: Admin, key: str = ""
) -> None:
    quotas.set_quota(portal, user, scope, key, None)


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
    end = until or datetime.now(UTC)
    found = usage.report(
        portal, user, by, since or end - timedelta(days=30), end, everybody=everybody
    )
    if form == "json":
        return [UsageView.of(by, one) for one in found]
    return Response(
        usage.as_csv(by, found),
        media_type="text/csv",
        headers={"Content-Disposition": "attachment; filename=usage.csv"},
    )
