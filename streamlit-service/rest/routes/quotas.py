"""Quotas, for administrators."""

from typing import Literal

from fastapi import APIRouter
from portal.core.resources import Quota
from portal.scheduling import quotas

from rest.dependencies import Administrator, Guarded, Product, Reader
from rest.views.users import QuotaBody

router = APIRouter(prefix="/quotas", route_class=Guarded)
Scope = Literal["default", "group", "user"]


@router.get("")
def all_quotas(portal: Product, user: Reader) -> list[dict[str, str | int | float | None]]:
    rows = quotas.all_quotas(portal, user)
    return [{"scope": scope, "key": key, **vars(row)} for (scope, key), row in rows.items()]


@router.put("/{scope}", status_code=204)
def set_quota(
    scope: Scope, body: QuotaBody, portal: Product, user: Administrator, key: str = ""
) -> None:
    quotas.set_quota(portal, user, scope, key, Quota(**body.model_dump()))


@router.delete("/{scope}", status_code=204)
def clear_quota(scope: Scope, portal: Product, user: Administrator, key: str = "") -> None:
    quotas.set_quota(portal, user, scope, key, None)
