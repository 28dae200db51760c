"""Service accounts, for administrators."""

from fastapi import APIRouter
from portal.users import service_accounts

from rest.dependencies import Administrator, Guarded, Product, Reader
from rest.views.services import ServiceBody, ServiceView

router = APIRouter(prefix="/services", route_class=Guarded)


@router.get("")
def index(portal: Product, user: Reader) -> list[ServiceView]:
    return [ServiceView.of(portal, each) for each in service_accounts.everyone(portal, user)]


@router.put("/{name}")
def put(name: str, body: ServiceBody, portal: Product, user: Administrator) -> ServiceView:
    """Makes a service account, or changes it."""
    made = service_accounts.put(portal, user, name, body.scopes, body.ends_at)
    return ServiceView.of(portal, made)
