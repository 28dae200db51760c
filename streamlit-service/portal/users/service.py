"""From an Identity to a User: known, or created at first sign-in."""

from __future__ import annotations

import re
from dataclasses import replace

from portal import db
from portal.context import Portal
from portal.core.errors import Conflict, Forbidden, Invalid, NotFound
from portal.core.people import Actor, Certificate, Identity, Role, SshKey, User
from portal.db.connection import Tx
from portal.users import permissions, ssh_keys

MAX_KEYS = 10
_RANK = (Role.USER, Role.CURATOR, Role.ADMIN)
GROUP_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,59}")


def user_of(portal: Portal, identity: Identity) -> User:
    """The user that this identity is; the first sign-in creates it and records so.

    The role is what the settings list or an administrator gave, whichever may more. Forbidden for
    somebody who is retired.
    """
    with portal.database.reading() as tx:
        user = db.users.by_subject(tx, identity.subject)
        known_card = user and db.certificates.known(tx, identity.fingerprint, user.id)
    if user and user.retired_at:
        raise retired(portal)
    if user:
        check_realm(portal, identity, user.root)
    user = user or _first_sign_in(portal, identity)
    if identity.display_name != user.card_name:
        user = _new_name(portal, user, identity.display_name)
    if not known_card:
        _new_card(portal, user, identity)
    bare = identity.subject.partition(":")[2]
    return _at_least(user, _listed(portal, identity.edipi, identity.upn, bare))


def retired(portal: Portal) -> Forbidden:
    """The answer for somebody who is retired."""
    return Forbidden(
        "retired",
        "Your account was retired.",
        f"If you should work here, ask {portal.settings.help_contact} to restore it.",
    )


def check_realm(portal: Portal, identity: Identity, root: str) -> None:
    """Raise Forbidden for a card of another realm than the user's first: equal numbers may be two.

    Each root is a realm of its own unless PORTAL_REALMS joins several. Where no root is recorded,
    any will do.
    """
    realms = portal.settings.realm_of
    if root and realms(root) not in {realms(each) for each in identity.roots}:
        raise Forbidden(
            "other_realm",
            "Somebody of this number or name is known here by another authority's card.",
            f"Tell {portal.settings.help_contact}: if that was you, PORTAL_REALMS must join the two"
            " authorities.",
        )


def shown(portal: Portal, user: User) -> User:
    """With the role that the lists in the settings give, as far as the subject alone tells."""
    return _at_least(user, _listed(portal, user.subject.partition(":")[2]))


def _at_least(user: User, role: Role) -> User:
    return replace(user, role=max(user.role, role, key=_RANK.index))


def _listed(portal: Portal, *names: str | None) -> Role:
    """The role by the settings: it counts while they list somebody, and no longer."""
    keys = {name.lower() for name in names if name}
    if keys & portal.settings.admin_keys:
        return Role.ADMIN
    return Role.CURATOR if keys & portal.settings.curator_keys else Role.USER


def _new_name(portal: Portal, user: User, name: str) -> User:
    """Record what the person is called now: people marry, and cards are corrected."""
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        now = _reread(tx, user)
        before = now.display_name
        if now.card_name != name:  # another request may have been faster
            db.users.update(tx, user.id, display_name=name, card_name=name)
        if name not in (before, now.card_name):
            db.audit.append(
                tx,
                portal.now(),
                user.subject,
                "user.renamed",
                f"user:{user.subject}",
                before=before,
                after=name,
            )
    return replace(user, display_name=name, card_name=name)


def _new_card(portal: Portal, user: User, identity: Identity) -> None:
    """Record another certificate: its key opens containers started from now on, too."""
    now, key = portal.now(), identity.ssh_key
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        if db.certificates.known(tx, identity.fingerprint, user.id):
            return  # another request was faster
        card = Certificate(identity.fingerprint, key, identity.pem, identity.not_after, now)
        db.certificates.put(tx, user.id, card)
        if not user.root and identity.roots:
            db.users.update(tx, user.id, root=min(identity.roots))
        db.audit.append(
            tx,
            now,
            user.subject,
            "user.card_added",
            f"user:{user.subject}",
            certificate=identity.fingerprint,
            not_after=identity.not_after.isoformat(),
            fingerprint=ssh_keys.fingerprint(key) if key else "",
        )


def cards(portal: Portal, user: User) -> list[Certificate]:
    """The user's certificates that SSH knows and that count now, the newest first."""
    now = portal.now()
    with portal.database.reading() as tx:
        known_to_ssh = [card for card in db.certificates.of_user(tx, user.id) if card.ssh_key]
    return [
        card
        for card in known_to_ssh
        if (card.not_after is None or card.not_after > now) and not portal.is_revoked(card)
    ]


def known(tx: Tx, subject: str) -> User:
    """The user with this subject. NotFound for somebody who never signed in."""
    user = db.users.by_subject(tx, subject)
    if user is None:
        raise NotFound(
            "no_such_user", f"No user {subject} is known.", "They appear once they have signed in."
        )
    return user


def check_group_name(name: str) -> None:
    """Raise Invalid unless this can be a group's name, and with it a pool's."""
    if not GROUP_NAME.fullmatch(name):
        raise Invalid(
            "bad_group",
            f"{name[:60]!r} is no group name.",
            "Use small letters, digits, dots, hyphens, _.",
        )


def set_group(portal: Portal, actor: Actor, subject: str, group: str) -> None:
    """Put a user into a group, "" for none."""
    if group:
        check_group_name(group)
    who, now = permissions.administrator(actor), portal.now()
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        user = known(tx, subject)
        db.users.update(tx, user.id, group=group)
        db.audit.append(
            tx, now, who, "user.group", f"user:{subject}", before=user.group, after=group
        )
    portal.wake()


def set_role(portal: Portal, actor: Actor, subject: str, role: Role) -> Role:
    """Change what a user is; returns the role that counts, which a list may make a higher one.

    NotFound for somebody who never signed in.
    """
    who = permissions.administrator(actor)
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        user = known(tx, subject)
        db.users.update(tx, user.id, role=role)
        db.audit.append(
            tx, portal.now(), who, "user.role", f"user:{subject}", role=role, before=user.role
        )
    return shown(portal, replace(user, role=role)).role


def add_key(portal: Portal, user: User, name: str, text: str) -> User:
    """Add a public key for SSH; it counts from the next start of a container.

    Raises Invalid, Conflict.
    """
    key = ssh_keys.parse(name, text, portal.now())
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        now = _reread(tx, user)
        if len(now.ssh_keys) >= MAX_KEYS:
            raise Conflict(
                "too_many_keys", f"You have {MAX_KEYS} keys, the most there may be.", "Remove one."
            )
        of_cards = {card.ssh_key for card in db.certificates.of_user(tx, user.id)}
        if key.key in of_cards | {key.key for key in now.ssh_keys}:
            raise Conflict("key_known", "This key is among yours already.", "Nothing to do.")
        return _put_keys(portal, tx, now, (*now.ssh_keys, key), "user.key_added", key)


def remove_key(portal: Portal, user: User, fingerprint: str) -> User:
    """Take a key away; a container that runs goes on accepting it until it is started again."""
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        now = _reread(tx, user)
        gone = next((key for key in now.ssh_keys if key.fingerprint == fingerprint), None)
        if gone is None:
            raise NotFound("no_such_key", "There is no such key among yours.", "Reload the page.")
        return _put_keys(
            portal,
            tx,
            now,
            tuple(key for key in now.ssh_keys if key != gone),
            "user.key_removed",
            gone,
        )


def _reread(tx: Tx, user: User) -> User:
    """As the records have it now: a page may have been open for long."""
    return db.users.by_subject(tx, user.subject) or user


def _put_keys(
    portal: Portal, tx: Tx, user: User, keys: tuple[SshKey, ...], action: str, key: SshKey
) -> User:
    db.users.update(tx, user.id, ssh_keys=[vars(key) for key in keys])
    db.audit.append(
        tx,
        portal.now(),
        user.subject,
        action,
        f"user:{user.subject}",
        name=key.name,
        fingerprint=key.fingerprint,
    )
    return replace(user, ssh_keys=keys)


def _first_sign_in(portal: Portal, identity: Identity) -> User:
    now = portal.now()
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        existing = db.users.by_subject(tx, identity.subject)  # another request may have been faster
        if existing:
            return existing
        user = db.users.insert(tx, identity.subject, identity.display_name, Role.USER, now)
        db.audit.append(
            tx,
            now,
            identity.subject,
            "user.created",
            f"user:{identity.subject}",
            name=identity.display_name,
            role=_listed(portal, identity.edipi, identity.upn),
        )
    return user


def roles_from_lists(portal: Portal, tx: Tx) -> list[User]:
    """Users whose role was once taken over from a list in the settings that no longer names them.

    Nobody gave it to them in the portal, and nobody takes it away by changing the list.
    """
    left = []
    for user in db.users.all_users(tx):
        listed = portal.settings.admin_keys | portal.settings.curator_keys
        if user.role is Role.USER or user.subject.partition(":")[2] in listed:
            continue
        events = db.audit.events(tx, f"user:{user.subject}")
        if not any(event.action == "user.role" for event in events):
            left.append(user)
    return left
