"""SSH: who may come in with which key, and where the name or address that they ask for leads."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from portal import db, users
from portal.context import Portal
from portal.core import ports
from portal.core.errors import Conflict, Forbidden, NotAuthenticated, NotFound, PortalError
from portal.core.models import Deployment, State
from portal.core.people import Account, Certificate, SshKey, User
from portal.users import consent, entry, permissions, ssh_keys

SSH_PORT = 22
OPENED, CLOSED = "ssh.opened", "ssh.closed"


@dataclass(frozen=True)
class Login:
    """Somebody, and the keys, as OpenSSH writes them, that open their containers."""

    user: User
    keys: Mapping[str, Certificate | SshKey]
    cards: Sequence[Certificate]
    """Those that count: without one nobody comes in, with whatever key."""
    refusal: PortalError | None
    """Why they may not come in, whatever their keys."""
    consent: PortalError | None = None
    """Why they may not come in just now: what is open stays."""


@dataclass(frozen=True)
class Target:
    """Where a connection leads: an sshd on a VM's internal address."""

    deployment: Deployment
    address: str
    port: int


def login(portal: Portal, subject: str) -> Login:
    """Who a subject is, with the keys that count now. NotFound for nobody."""
    with portal.database.reading() as tx:
        user = users.known(tx, subject)
        known = db.certificates.of_user(tx, user.id)
    refusal: PortalError | None = None
    try:
        users.check_account(portal, user)
        permissions.check_may_act(user)
    except Forbidden as error:
        refusal = error
    cards = [card for card in known if _counts(portal, card)]
    of_any_card = {card.ssh_key for card in known}
    keys: dict[str, Certificate | SshKey] = {}
    if cards:
        keys |= {key.key: key for key in user.ssh_keys if key.key not in of_any_card}
        keys |= {card.ssh_key: card for card in cards if card.ssh_key}
    needed: PortalError | None = None
    try:
        consent.check_ssh(portal, user)
    except PortalError as error:
        needed = error
    return Login(user, keys, cards, refusal, needed)


def _counts(portal: Portal, card: Certificate) -> bool:
    """Whether a card lets its holder in; from memory."""
    return (card.not_after is None or card.not_after > portal.now()) and portal.card_counts(card)


def may_stay(portal: Portal, before: Login, key: str, began: datetime) -> PortalError | None:
    """Why a connection that was opened with a key may not go on; None while it may.

    DatabaseTrouble where nobody can tell.
    """
    try:
        now = login(portal, before.user.subject)
        users.check_session(portal, now.user, began)
    except (NotAuthenticated, Forbidden, NotFound) as error:
        return error
    if now.refusal or key in now.keys:
        return now.refusal
    return NotAuthenticated(
        "key_gone", "The key or card that opened this connection no longer counts.", "Use another."
    )


def standings(portal: Portal, user_ids: Collection[int]) -> Mapping[int, Hashable]:
    """What differs, by user, when somebody's right to be in, or their keys, may have changed."""
    with portal.database.reading() as tx:
        return db.users.standings(tx, user_ids)


def is_good(portal: Portal, login: Login, key: Certificate | SshKey) -> bool:
    """Whether a key counts that did before, and its holder's account has not ended; from memory."""
    if entry.account(portal, login.user) is not Account.ACTIVE:
        return False
    if isinstance(key, Certificate):
        return _counts(portal, key)
    return any(_counts(portal, card) for card in login.cards)


def fingerprint(key: Certificate | SshKey) -> str:
    """As ssh-keygen -l shows it."""
    return key.fingerprint if isinstance(key, SshKey) else ssh_keys.fingerprint(key.ssh_key)


def target(portal: Portal, user: User, host: str, port: int) -> Target:
    """Where (container's name, 22), or the VM's address with the container's port, leads.

    NotFound for what is not the user's, or has no SSH; Conflict while it does not run.
    """
    with portal.database.reading() as tx:
        mine = db.deployments.of_user(tx, user.id)
    for each in mine:
        if each.vm is None or each.slot is None:
            continue
        # As it is by now: whoever is in may have had no ports yet, or others, when they came.
        number = ports.port_of(each.owner.own_range, each.slot, ports.Service.SSH)
        if (host, port) in ((each.name, SSH_PORT), (each.vm.address, number)):
            return _checked(each, each.vm.address, number)
    if stopped := next((each for each in mine if (host, port) == (each.name, SSH_PORT)), None):
        raise _not_running(stopped)
    raise permissions.no_such_deployment(f"You have no container {host[:60]!r} with SSH.")


def _checked(deployment: Deployment, address: str, port: int) -> Target:
    if not deployment.ssh:
        raise NotFound(
            "no_ssh", f"{deployment.name} was deployed without SSH.", "Deploy again, with SSH."
        )
    if deployment.state is not State.RUNNING:
        raise _not_running(deployment)
    return Target(deployment, address, port)


def _not_running(deployment: Deployment) -> Conflict:
    return Conflict(
        "not_running",
        f"{deployment.name} does not run: it is {deployment.state}.",
        "Start it on the portal's page.",
    )


def note(
    portal: Portal,
    now: datetime,
    action: str,
    user: User,
    deployment: Deployment,
    **details: object,
) -> None:
    """Record that SSH into a container was opened or closed then, with what is known of it."""
    about = f"deployment:{deployment.id}"
    with portal.database.transaction() as tx:
        db.audit.append(tx, now, user.subject, action, about, **details)
        if action == OPENED:
            db.deployments.update(tx, deployment.id, last_activity_at=now)
        db.users.owner_seen(tx, deployment.id, now, now - entry.SEEN_EVERY)


def note_seen(portal: Portal, login: Login, key: Certificate | SshKey, address: str) -> None:
    """Note that somebody is here, with what and from where; to the hour."""
    now = portal.now()
    before = now - entry.SEEN_EVERY
    with portal.database.transaction() as tx:
        db.users.seen(tx, login.user.id, now, before)
        if isinstance(key, Certificate):
            db.certificates.seen(tx, key.fingerprint, now, address, before)
