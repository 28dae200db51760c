"""The roles that PORTAL_ADMINS and PORTAL_CURATORS give, while they name somebody.

An entry names a root's people, or, where it names no root, those of the first realm that signed in
with the name: two authorities may issue the same name to two people.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

from portal import db
from portal.context import Portal
from portal.core import subjects
from portal.core.people import Identity, Role, User
from portal.core.settings import Settings
from portal.core.subjects import Listed
from portal.db.certificates import Vouched
from portal.db.connection import Tx

_RANK = (Role.USER, Role.CURATOR, Role.ADMIN)
_UPN = "upn:"


def role_of(portal: Portal, identity: Identity) -> Role:
    """The role of whoever shows this card."""
    names = {identity.subject}
    if identity.edipi:
        names.add(f"edipi:{identity.edipi}")
    if identity.upn:
        names.add(_UPN + identity.upn)
    if not any(names & entry.subjects for _, entry in _entries(portal.settings)):
        return Role.USER  # as nearly everybody
    with portal.database.reading() as tx:
        vouched = db.certificates.with_upns(tx, _upns(names))
    return _role(portal, names, identity.roots, _first_realms(portal, vouched))


def _roles(portal: Portal, tx: Tx) -> Callable[[User], Role]:
    """The role of each user, as far as their subject and the UPNs of their certificates tell."""
    named = frozenset[str]().union(*(entry.subjects for _, entry in _entries(portal.settings)))
    vouched = db.certificates.with_upns(tx, _upns(named))
    first = _first_realms(portal, vouched)

    def role(user: User) -> Role:
        upns = [each for each in vouched if each.user_id == user.id]
        names = {user.subject, *(_UPN + each.upn for each in upns)}
        return _role(portal, names, {user.root, *(each.root for each in upns)}, first)

    return role


def shown(portal: Portal, tx: Tx, people: Iterable[User]) -> list[User]:
    """Users with the role that counts: their own, or that of a list, whichever may more."""
    role = _roles(portal, tx)
    return [at_least(user, role(user)) for user in people]


def at_least(user: User, role: Role) -> User:
    """The user with this role, or their own where that may more."""
    return replace(user, role=max(user.role, role, key=_RANK.index))


def left_from_lists(portal: Portal, tx: Tx) -> list[User]:
    """Users whose role was once taken over from a list in the settings that no longer names them.

    Nobody gave it to them in the portal, and nobody takes it away by changing the list.
    """
    role = _roles(portal, tx)
    left = [user for user in db.users.all_users(tx) if user.role is not Role.USER]
    return [
        user
        for user in left
        if role(user) is Role.USER
        and not any(
            event.action == "user.role" for event in db.audit.events(tx, f"user:{user.subject}")
        )
    ]


def doubtful(settings: Settings, roots: Collection[str]) -> list[tuple[str, str]]:
    """(entry, what is wrong with it) of each that names nobody, or perhaps somebody else.

    `roots`: names (RFC 4514) of the authorities that are accepted.
    """
    known = {subjects.common_name(root) for root in roots}
    realms = {settings.realm_of(root) for root in roots}
    found = []
    for _, entry in _entries(settings):
        if not entry.subjects:
            found.append((entry.text, "is no name that a card carries"))
        elif entry.authority and entry.authority.casefold() not in known:
            found.append((entry.text, "names an authority that is not accepted here"))
        elif not entry.authority and len(realms) > 1:
            found.append((entry.text, "names no authority, and several are accepted"))
    return found


def _entries(settings: Settings) -> list[tuple[Role, Listed]]:
    """The role that each entry gives, the higher first."""
    admins = [(Role.ADMIN, entry) for entry in settings.listed_admins]
    return admins + [(Role.CURATOR, entry) for entry in settings.listed_curators]


def _role(
    portal: Portal, names: Collection[str], roots: Collection[str], first: dict[str, str]
) -> Role:
    settings = portal.settings
    realms = {settings.realm_of(root) for root in roots if root}
    called = {subjects.common_name(root) for root in roots if root}
    for role, entry in _entries(settings):
        meant = entry.subjects.intersection(names)
        if entry.authority and called.isdisjoint(settings.joined(entry.authority.casefold())):
            continue
        if any(entry.authority or first.get(name) in {None, *realms} for name in meant):
            return role
    return Role.USER


def _first_realms(portal: Portal, vouched: Iterable[Vouched]) -> dict[str, str]:
    """The realm whose card signed in first with each of these UPNs, where any did.

    Of other names the account itself knows its realm (see check_realm).
    """
    first: dict[str, str] = {}
    for each in vouched:
        first.setdefault(_UPN + each.upn, portal.settings.realm_of(each.root))
    return first


def _upns(names: Iterable[str]) -> list[str]:
    return [name.removeprefix(_UPN) for name in names if name.startswith(_UPN)]
