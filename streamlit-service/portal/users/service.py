"""From an Identity to a User: known, or created at first sign-in."""

from __future__ import annotations

from dataclasses import replace

from portal import db
from portal.context import Portal
from portal.core import subjects
from portal.core.errors import Conflict, Forbidden, NotFound
from portal.core.models import State
from portal.core.people import NOWHERE, Actor, Certificate, Identity, Origin, Role, SshKey, User
from portal.db.connection import Tx
from portal.users import entry, listed, permissions, realms, ssh_keys, visits

MAX_KEYS = 10
OVER = (State.STOPPED, State.FAILED)


def user_of(portal: Portal, identity: Identity, origin: Origin = NOWHERE) -> User:
    """The user that this identity is; the first sign-in creates it and records so.

    The role is what the settings list or an administrator gave, whichever may more. `origin`:
    where they come from; each session is an event. Forbidden for somebody whose account is not
    active.
    """
    with portal.database.reading() as tx:
        identity = replace(identity, subject=realms.subject_of(portal.settings, tx, identity))
        user = db.users.by_subject(tx, identity.subject)
        known_card = db.certificates.known(tx, identity.fingerprint, user.id) if user else None
        counts = listed.shown(portal, tx, [user] if user else [])
    if not user and identity.subject.startswith(subjects.OF_SERVICE):
        raise Forbidden(
            "unknown_service",
            f"There is no service account {identity.common_name}.",
            f"Ask {portal.settings.help_contact} to make it: admin.py service set.",
        )
    user = user or _by_certificate(portal, identity)
    if user:
        entry.check(portal, user)
    if counts and known_card and known_card.subject and not _is_newer_name(identity, counts[0]):
        entry.note_seen(portal, counts[0], known_card, origin.address)
        visits.note_portal(portal, counts[0], identity, origin)
        return counts[0]
    user = user or _first_sign_in(portal, identity)
    if _is_newer_name(identity, user):
        user = _new_name(portal, user, identity)
    if not known_card or not known_card.subject:
        user = _new_card(portal, user, identity, origin.address)
    with portal.database.reading() as tx:
        [user] = listed.shown(portal, tx, [user])
    visits.note_portal(portal, user, identity, origin)
    return user


def _by_certificate(portal: Portal, identity: Identity) -> User | None:
    """Who came in with this certificate before, when it was read by another name.

    What it calls its holder by may be set otherwise: nobody becomes somebody else by that.
    """
    with portal.database.reading() as tx:
        if db.certificates.holder(tx, identity.fingerprint) is None:
            return None
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        user_id = db.certificates.holder(tx, identity.fingerprint)
        user = db.users.by_id(tx, user_id) if user_id is not None else None
        if user is None or db.users.by_subject(tx, identity.subject):
            return db.users.by_subject(tx, identity.subject)  # somebody was faster
        db.users.add_alias(tx, identity.subject, user.id, user.root)
        db.audit.append(
            tx,
            portal.now(),
            user.subject,
            "user.other_name",
            f"user:{user.subject}",
            other=identity.subject,
            certificate=identity.fingerprint,
        )
    return user


def _is_newer_name(identity: Identity, user: User) -> bool:
    """Whether the card calls its holder otherwise than every newer one that was seen.

    Two cards may count at once: the newest says what somebody is called.
    """
    issued = identity.not_before
    newest = issued is None or user.named_at is None or issued > user.named_at
    return newest and identity.display_name != user.card_name


def _new_name(portal: Portal, user: User, identity: Identity) -> User:
    """Record what the person is called now: people marry, and cards are corrected."""
    name, issued = identity.display_name, identity.not_before
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        now = _reread(tx, user)
        if not _is_newer_name(identity, now):
            return now  # another request was faster
        db.users.update(tx, user.id, display_name=name, card_name=name, named_at=issued)
        if name != now.display_name:
            details = db.audit.changed({"name": now.display_name}, {"name": name})
            about = f"user:{user.subject}"
            db.audit.append(tx, portal.now(), user.subject, "user.renamed", about, **details)
    return replace(user, display_name=name, card_name=name, named_at=issued)


def _new_card(portal: Portal, user: User, identity: Identity, address: str) -> User:
    """Record another certificate: its key opens containers started from now on, too."""
    now, key = portal.now(), identity.ssh_key
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        root = min(identity.roots, default="")
        card = Certificate(
            fingerprint=identity.fingerprint,
            ssh_key=key,
            pem=identity.pem,
            not_after=identity.not_after,
            first_seen_at=now,
            subject=identity.subject,
            upn=identity.upn or "",
            root=root,
            last_seen_at=now,
            last_address=address,
        )
        db.users.update(tx, user.id, last_seen_at=now)
        user = replace(user, last_seen_at=now)
        vouched = db.users.root_of(tx, identity.subject)
        if not realms.fits(portal.settings, identity, vouched):
            raise realms.other_realm(portal.settings)  # somebody was faster
        if root and not vouched:
            db.users.set_root(tx, identity.subject, root)
        if db.certificates.known(tx, identity.fingerprint, user.id):
            db.certificates.complete(tx, card)
            return user  # known before its names were kept, or another request was faster
        db.certificates.put(tx, user.id, card)
        issued = identity.not_before
        if issued and (user.named_at is None or issued > user.named_at):  # the same name again
            db.users.update(tx, user.id, named_at=issued)
            user = replace(user, named_at=issued)
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
    return user


def cards(portal: Portal, user: User) -> list[Certificate]:
    """The user's certificates that SSH knows and that count now, the newest first."""
    now = portal.now()
    with portal.database.reading() as tx:
        known_to_ssh = [card for card in db.certificates.of_user(tx, user.id) if card.ssh_key]
    return [
        card
        for card in known_to_ssh
        if (card.not_after is None or card.not_after > now) and portal.card_counts(card)
    ]


def others(portal: Portal, user: User) -> bool:
    """Whether anybody else has signed in so far."""
    with portal.database.reading() as tx:
        return db.users.others(tx, user.id)


def known(tx: Tx, subject: str) -> User:
    """The user with this subject. NotFound for somebody who never signed in."""
    user = db.users.by_subject(tx, subject)
    if user is None:
        raise NotFound(
            "no_such_user", f"No user {subject} is known.", "They appear once they have signed in."
        )
    return user


def set_role(portal: Portal, actor: Actor, subject: str, role: Role) -> Role:
    """Change what a user is; returns the role that counts, which a list may make a higher one.

    NotFound for somebody who never signed in.
    """
    who = permissions.administrator(actor)
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        user = known(tx, subject)
        permissions.check_another(actor, user)
        if user.is_service:
            raise Conflict("is_service", "A service account has scopes, no role.", "Set those.")
        if role is Role.AUDITOR:
            _check_has_nothing(tx, user)
        db.users.update(tx, user.id, role=role)
        about = f"user:{user.subject}"
        details = db.audit.changed({"role": user.role}, {"role": role})
        db.audit.append(tx, portal.now(), who, "user.role", about, **details)
        [counts] = listed.shown(portal, tx, [replace(user, role=role)])
    return counts.role


def _check_has_nothing(tx: Tx, user: User) -> None:
    """An auditor has no containers, and could not stop them."""
    left = [each.name for each in db.deployments.of_user(tx, user.id) if each.state not in OVER]
    if left:
        raise Conflict(
            "has_containers",
            f"{user.display_name} has containers that run or wait, and an auditor has none:"
            f" {', '.join(left[:5])}.",
            "Stop them first.",
        )


def add_key(portal: Portal, user: User, name: str, text: str) -> User:
    """Add a public key for SSH; it counts from the next start of a container.

    Raises Invalid, Conflict.
    """
    permissions.check_may_act(user)
    key = ssh_keys.parse(name, text, portal.now())
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        now = _reread(tx, user)
        if len(now.ssh_keys) >= MAX_KEYS:
            raise Conflict(
                "too_many_keys", f"You have {MAX_KEYS} keys, which is the maximum.", "Remove one."
            )
        of_cards = {card.ssh_key for card in db.certificates.of_user(tx, user.id)}
        if key.key in of_cards | {key.key for key in now.ssh_keys}:
            raise Conflict("key_known", "You have already added this key.", "Nothing to do.")
        return _put_keys(portal, tx, now, (*now.ssh_keys, key), "user.key_added", key)


def remove_key(portal: Portal, user: User, fingerprint: str) -> User:
    """Take a key away; a container that runs goes on accepting it until it is started again."""
    permissions.check_may_act(user)
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        now = _reread(tx, user)
        gone = next((key for key in now.ssh_keys if key.fingerprint == fingerprint), None)
        if gone is None:
            raise NotFound("no_such_key", "You have no such key.", "Reload the page.")
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
    db.users.put_keys(tx, user.id, keys)
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
        db.users.update(tx, user.id, named_at=identity.not_before)
        db.audit.append(
            tx,
            now,
            identity.subject,
            "user.created",
            f"user:{identity.subject}",
            name=identity.display_name,
        )
    return user
