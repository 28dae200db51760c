"""The caller's SSH keys."""

from fastapi import APIRouter
from portal import users

from rest.dependencies import Caller, Guarded, Product
from rest.views.users import KeyBody, SshKeyView

router = APIRouter(prefix="/ssh-keys", route_class=Guarded)


@router.get("")
def all_keys(portal: Product, user: Caller) -> list[SshKeyView]:
    return SshKeyView.all_of(user, users.cards(portal, user))


@router.post("", status_code=201)
def add_key(body: KeyBody, portal: Product, user: Caller) -> list[SshKeyView]:
    now = users.add_key(portal, user, body.name, body.key)
    return SshKeyView.all_of(now, users.cards(portal, now))


@router.delete("", status_code=204)
def remove_key(fingerprint: str, portal: Product, user: Caller) -> None:
    users.remove_key(portal, user, fingerprint)
