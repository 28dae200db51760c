"""What administrators correct in who people are: names, two accounts of one person."""

from __future__ import annotations

from portal import db
from portal.context import Portal
from portal.core import subjects
from portal.core.errors import Conflict, Invalid, NotFound
from portal.core.people import Account, Actor, Role, User
from portal.core.reasons import check_reason
from portal.db.connection import Tx
from portal.users import entry, groups, permissions
from portal.users.service import known

LOST = "the laptop was lost."
"""What a reason may be, for who gave none."""
BY_DIRECTORY = "directory"
"""Who disabled somebody who left the organisation's directory."""
MAX_NAME = 64
"""As in certificates (RFC 5280, upper bounds)."""


def rename(portal: Portal, actor: Actor, subject: str, name: str) -> None:
    """Correct how somebody is called, until their card says another name than today."""
    who, text = permissions.administrator(actor), " ".join(name.split())
    if not subjects.is_shown(text, MAX_NAME):
        raise Invalid(
            "bad_name", f"A name has 1 to {MAX_NAME} characters.", "As on the card, for example."
        )
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        user = known(tx, subject)
        db.users.update(tx, user.id, display_name=text)
        details = db.audit.changed({"name": user.display_name}, {"name": text})
        _audit(portal, tx, who, "user.renamed", user, **details)


def retire(portal: Portal, tx: Tx, who: str, user: User, reason: str) -> None:
    """Somebody has left: no way in, and the range goes to others once its containers are gone."""
    if user.retired_at:
        raise Conflict("is_retired", f"{user.display_name} is retired.", "Nothing to do.")
    for group in user.groups:
        groups.take_out(portal, tx, who, known(tx, user.subject), group)
    db.users.update(tx, user.id, retired_at=portal.now(), retired_reason=reason)
    _audit(portal, tx, who, "user.retired", user, reason=reason)


def disable(portal: Portal, tx: Tx, who: str, user: User, reason: str) -> None:
    """Somebody may not come in for now: what they have stays theirs.

    Whom the directory disabled may be disabled by somebody else, too: then it lets them in no more.
    """
    if user.retired_at:
        raise Conflict("is_retired", f"{user.display_name} is retired.", "Nothing to do.")
    if user.disabled_at and (user.disabled_by != BY_DIRECTORY or who == BY_DIRECTORY):
        raise Conflict("is_disabled", f"{user.display_name} is disabled.", "Nothing to do.")
    before = {"account": entry.account(portal, user)}
    db.users.update(tx, user.id, disabled_at=portal.now(), disabled_reason=reason, disabled_by=who)
    details = db.audit.changed(before, {"account": Account.DISABLED})
    _audit(portal, tx, who, "user.disabled", user, reason=reason, **details)


def enable(portal: Portal, actor: Actor, subject: str) -> None:
    """Let somebody whose account is disabled, or dormant, come in again."""
    who = permissions.administrator(actor)
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        user = known(tx, subject)
        if user.retired_at:
            raise Conflict("is_retired", f"{user.display_name} is retired.", "Restore the account.")
        if entry.account(portal, user) is Account.ACTIVE:
            raise Conflict("is_active", f"{user.display_name} is enabled.", "Nothing to do.")
        enable_in(portal, tx, who, user)


def enable_in(portal: Portal, tx: Tx, who: str, user: User) -> None:
    """Somebody who is disabled or dormant may come in again."""
    details = db.audit.changed(
        {"account": entry.account(portal, user)}, {"account": Account.ACTIVE}
    )
    db.users.update(
        tx,
        user.id,
        disabled_at=None,
        disabled_reason="",
        disabled_by="",
        last_seen_at=portal.now(),
    )
    _audit(portal, tx, who, "user.enabled", user, **details)


def end_sessions(portal: Portal, actor: Actor, subject: str, reason: str) -> None:
    """End all pages, notebook connections and SSH that somebody has open; they may come again."""
    who, reason = permissions.administrator(actor), check_reason(reason, LOST)
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        user = known(tx, subject)
        db.users.update(tx, user.id, sessions_ended_at=portal.now())
        _audit(portal, tx, who, "user.sessions_ended", user, reason=reason)


def sign_out(portal: Portal, user: User) -> None:
    """End all that somebody has open themselves, on whatever machine it is."""
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        db.users.update(tx, user.id, sessions_ended_at=portal.now())
        _audit(portal, tx, user.subject, "user.signed_out", user)


def restore(portal: Portal, actor: Actor, subject: str) -> None:
    """Let somebody who was retired come in again, without the groups that they were in."""
    who = permissions.administrator(actor)
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        user = known(tx, subject)
        if not user.retired_at:
            raise Conflict("not_retired", f"{user.display_name} is not retired.", "Nothing to do.")
        db.users.update(tx, user.id, retired_at=None, retired_reason="", last_seen_at=portal.now())
        _audit(portal, tx, who, "user.restored", user)


def merge(portal: Portal, actor: Actor, old: str, new: str) -> User:
    """Two accounts are one person: who signs in as `new` from now on is `old`.

    With the ports, home, containers, quota and history of `old`; keys, cards and usage of both.
    What `new` is may be nobody yet. Invalid where it is no subject; Conflict while `new` has
    containers or a role, or either is retired.
    """
    who, new = permissions.administrator(actor), subjects.parse(new)
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        stays, goes = known(tx, old), db.users.by_subject(tx, new)
        if goes and goes.id == stays.id:
            raise Conflict("same_user", f"{old} and {new} are one account.", "Nothing to do.")
        if goes and goes.subject != new:
            raise Conflict(
                "is_alias",
                f"{new} is another name of {goes.subject} already.",
                f"If these two are one person, merge {goes.subject}.",
            )
        if stays.is_service:
            raise Conflict(
                "is_service",
                f"{old} is the account of a program.",
                "People are merged into people: make another service account instead.",
            )
        for user in (stays, goes):
            if user and (user.retired_at or user.disabled_at):
                state, way = entry.account(portal, user), "restore" if user.retired_at else "enable"
                raise Conflict(
                    "is_retired" if user.retired_at else "is_disabled",
                    f"{user.display_name} ({user.subject}) is {state}.",
                    f"To let them sign in again: user {way} {user.subject}",
                )
        if goes:
            _take_over(tx, stays, goes)
        db.users.add_alias(tx, new, stays.id, goes.root if goes else "")
        _audit(portal, tx, who, "user.merged", stays, other=new)
    return stays


def _take_over(tx: Tx, stays: User, goes: User) -> None:
    if db.deployments.of_user(tx, goes.id):
        raise Conflict(
            "has_containers",
            f"{goes.display_name} has containers as {goes.subject}.",
            "Remove them first, and copy what is needed from that home folder.",
        )
    if goes.role is not Role.USER:
        raise Conflict(
            "has_role",
            f"{goes.display_name} is {goes.role} as {goes.subject}.",
            f"Make {goes.subject} a user first; then give {stays.subject} the role, if they should"
            " have it.",
        )
    keys = {key.fingerprint: key for key in (*goes.ssh_keys, *stays.ssh_keys)}
    db.users.put_keys(tx, stays.id, keys.values())
    db.certificates.move(tx, goes.id, stays.id)
    db.users.move_aliases(tx, goes.id, stays.id)
    db.vms.change_owner(tx, goes.id, stays.id)
    for group in goes.groups:
        db.quotas.put(tx, db.quotas.MEMBER, db.quotas.member_key(group, goes.subject), None)
    db.groups.remove_all(tx, goes.id)
    db.quotas.put(tx, db.quotas.USER, goes.subject, None)
    seen = [each.last_seen_at for each in (stays, goes) if each.last_seen_at]
    if seen:
        db.users.update(tx, stays.id, last_seen_at=max(seen))
    # Its row stays for what its records refer to, and for unmerge().
    db.users.update(
        tx,
        goes.id,
        subject=db.users.merged_subject(goes),
        merged_into=stays.id,
        range_index=None,
        group="",
    )


def other_names(portal: Portal, actor: Actor, user: User) -> list[str]:
    """The subjects that were merged into a user."""
    permissions.reader(actor)
    with portal.database.reading() as tx:
        return db.users.aliases_of(tx, user.id)


def unmerge(portal: Portal, actor: Actor, subject: str) -> User:
    """Two accounts were not one person: who signs in as `subject` is somebody else again.

    Their keys, cards and usage go with them. What was made since the merge, VMs, quota and groups
    stay where they are; so do names that were merged into theirs before: unmerge those, too.
    Returns who they were taken for. Invalid or NotFound for what is no other name.
    """
    who, subject = permissions.administrator(actor), subjects.parse(subject)
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        stays, goes = known(tx, subject), db.users.merged(tx, subject)
        root = db.users.root_of(tx, subject)
        if not db.users.remove_alias(tx, subject):
            raise NotFound(
                "no_alias",
                f"{subject} was not merged into any account.",
                f"{stays.subject} is the account's own subject.",
            )
        db.certificates.give_back(tx, stays.id, subject, goes.id if goes else None)
        # Whatever either has open may be the other's.
        for user in (stays, goes):
            if user:
                db.users.update(tx, user.id, sessions_ended_at=portal.now())
        if goes:
            # One that both had added is kept by both: each added it at a time of their own.
            own = [key for key in stays.ssh_keys if key not in goes.ssh_keys]
            db.users.put_keys(tx, stays.id, own)
            db.users.update(tx, goes.id, subject=subject, merged_into=None, root=root)
        _audit(portal, tx, who, "user.unmerged", stays, other=subject)
    return stays


def _audit(portal: Portal, tx: Tx, who: str, action: str, user: User, **details: str) -> None:
    db.audit.append(tx, portal.now(), who, action, f"user:{user.subject}", **details)
