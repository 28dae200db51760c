"""The roles that PORTAL_ADMINS and PORTAL_CURATORS give, while they name somebody.

An entry names a root's people, or, where it names no root, those of the first realm that signed in
with the name: two authorities may issue the same name to two people.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace

from portal import db
from portal.context import Portal
from portal.core import subjects
from portal.core.people import Role, User
from portal.core.settings import Settings
from portal.core.subjects import Listed
from portal.db.connection import Tx
from portal.db.users import Called

_RANK = (Role.USER, Role.AUDITOR, Role.CURATOR, Role.ADMIN)


def shown(portal: Portal, tx: Tx, people: Iterable[User]) -> list[User]:
    """Users with the role that counts: their own, or that of a list, whichever may more."""
    role = _roles(portal, tx)
    return [at_least(user, role(user)) for user in people]


def _roles(portal: Portal, tx: Tx) -> Callable[[User], Role]:
    """The role that the lists give, by every name that a user's accounts and cards have."""
    settings = portal.settings
    entries = [(role, _with_realm(settings, entry)) for role, entry in _entries(settings)]
    named = frozenset[str]().union(*(entry.subjects for _, entry in entries))
    if not named:
        return lambda _: Role.USER
    realm_of = settings.realm_of
    called = db.users.called(tx, named, portal.now())
    first: dict[str, str] = {}
    for each in called:
        if each.root:
            first.setdefault(each.name, realm_of(each.root))

    def means(entry: Listed, one: Called) -> bool:
        if one.name not in entry.subjects:
            return False
        if entry.authority:
            roots = settings.joined(entry.authority.casefold())
            return subjects.common_name(one.root) in roots
        return one.name not in first or realm_of(one.root) == first[one.name]

    given = {
        one.user_id: role
        for role, entry in reversed(entries)
        for one in called
        if means(entry, one)
    }
    return lambda user: given.get(user.id, Role.USER)


def _with_realm(settings: Settings, entry: Listed) -> Listed:
    """With the names that people of its authority have whose numbers others had before them."""
    if not entry.authority or not settings.realms:
        return entry
    realm = settings.joined(entry.authority.casefold())[0]
    of_realm = {subjects.of_realm(subject, realm) for subject in entry.subjects}
    return replace(entry, subjects=entry.subjects | of_realm)


def at_least(user: User, role: Role) -> User:
    """The user with this role, or their own where that may more."""
    return replace(user, role=max(user.role, role, key=_RANK.index))


def left_from_lists(portal: Portal, tx: Tx) -> list[User]:
    """Users whose role was once taken over from a list in the settings that no longer names them.

    Nobody gave it to them in the portal, and nobody takes it away by changing the list.
    """
    if db.audit.base(tx):
        return []  # who gave a role is no longer in the trail
    role = _roles(portal, tx)
    return [
        user
        for user in db.users.with_role(tx)
        if role(user) is Role.USER
        and not any(
            event.action == "user.role" for event in db.audit.events(tx, f"user:{user.subject}")
        )
    ]


def doubtful(settings: Settings, roots: Collection[str]) -> list[tuple[str, str]]:
    """(entry, what is wrong with it) of each that names nobody, or perhaps somebody else.

    Of the two lists, and of PORTAL_REALMS. `roots`: names (RFC 4514) of the authorities that are
    accepted.
    """
    several = len({settings.realm_of(root) for root in roots}) > 1
    found = []
    for _, entry in _entries(settings):
        if not entry.subjects:
            found.append((entry.text, "is not a name that a card can carry"))
        elif entry.authority:
            found += _doubtful_authority(entry.text, entry.authority, roots)
        elif several:
            found.append((entry.text, "names no authority, and several are accepted"))
    for name in itertools.chain(*subjects.realms(settings.realms)):
        found += _doubtful_authority(name, name, roots)
    return found


def _doubtful_authority(
    text: str, authority: str, roots: Collection[str]
) -> Iterator[tuple[str, str]]:
    named = sum(subjects.common_name(root) == authority.casefold() for root in roots)
    if named > 1:
        yield text, "names an authority, but several of that name are accepted"
    elif not named:
        yield text, "names an authority that is not accepted here"


def _entries(settings: Settings) -> list[tuple[Role, Listed]]:
    """The role that each entry gives, the higher first."""
    admins = [(Role.ADMIN, entry) for entry in settings.listed_admins]
    return admins + [(Role.CURATOR, entry) for entry in settings.listed_curators]
