"""Whose name a card carries: equal numbers or names of two realms are two people.

Each root is a realm of its own unless PORTAL_REALMS joins several. The first who comes with a name
has it; people of another realm have it with `of` and their realm behind it.
"""

from __future__ import annotations

from collections.abc import Iterator

from portal import db
from portal.core import subjects
from portal.core.errors import Forbidden
from portal.core.people import Identity
from portal.core.settings import Settings
from portal.db.connection import Tx


def fits(settings: Settings, identity: Identity, root: str) -> bool:
    """Whether a name that a root vouched for first is this identity's; without a root, any's."""
    realms = {settings.realm_of(each) for each in identity.roots}
    return not root or settings.realm_of(root) in realms


def names(settings: Settings, identity: Identity) -> Iterator[str]:
    """What the holder may be known by here, the likeliest first."""
    yield identity.subject
    if not settings.realms:
        return
    for root in sorted(identity.roots):
        realm = settings.joined(subjects.common_name(root))[0]
        yield from (subjects.of_realm(identity.subject, each) for each in (realm, root) if each)


def subject_of(settings: Settings, tx: Tx, identity: Identity) -> str:
    """What the holder is known by here, or would be.

    Forbidden for a name of another realm while PORTAL_REALMS does not say that these are two.
    """
    for name in names(settings, identity):
        if fits(settings, identity, db.users.root_of(tx, name)):
            return name
    raise other_realm(settings)


def other_realm(settings: Settings) -> Forbidden:
    """The answer for a name that is known from another authority's card."""
    return Forbidden(
        "other_realm",
        "This number or name is already known here from another authority's card.",
        f"Tell {settings.help_contact}: PORTAL_REALMS must say whether the two authorities vouch"
        " for the same people.",
    )
