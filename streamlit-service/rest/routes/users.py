"""Users, for administrators; who the caller is, for everybody."""

from typing import Annotated

from fastapi import APIRouter, Query
from portal import users
from portal.scheduling import quotas

from rest.dependencies import Administrator, Caller, Product
from rest.views.users import Me, UserView

router = APIRouter()


@router.get("/me")
def me(portal: Product, user: Caller) -> Me:
    return Me.of(user, *quotas.allowances(portal, user))


@router.get("/users")
def all_users(portal: Product, user: Administrator) -> list[UserView]:
    return [UserView.of(*entry) for entry in quotas.everybody(portal, user)]


@router.put("/users/{subject}/group", status_code=204)
def set_group(
    subject: str, group: Annotated[str, Query(max_length=60)], portal: Product, user: Administrator
) -> None:
    users.set_group(portal, user, subject, group)
