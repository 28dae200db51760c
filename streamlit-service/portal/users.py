"""From an Identity to a User: known, or created at first sight with the next port range."""

from __future__ import annotations

from portal import audit, store
from portal.context import Portal
from portal.models import Identity, Role, User


def user_of(portal: Portal, identity: Identity) -> User:
    """The user that this identity is; first sight creates it and records so."""
    with portal.store.reading() as tx:
        user = store.user_by_subject(tx, identity.subject)
    return user or _first_sight(portal, identity)


def _first_sight(portal: Portal, identity: Identity) -> User:
    keys = {key.lower() for key in (identity.edipi, identity.upn) if key}
    role = Role.ADMIN if keys & portal.settings.admin_keys else Role.USER
    now = portal.now()
    with portal.store.transaction() as tx:
        store.in_order(tx)  # two first sights must not be given the same ports
        known = store.user_by_subject(tx, identity.subject)  # another request may have been faster
        if known:
            return known
        user = store.insert_user(tx, identity.subject, identity.display_name, role, now)
        audit.append(tx, now, identity.subject, "user.created", f"user:{identity.subject}",
                     name=identity.display_name, role=role, range_index=user.range_index)  # fmt: skip
    return user
