"""May this identity open this port, and where does it lead."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from portal import db, users
from portal.context import Portal
from portal.core import ports
from portal.core.errors import Conflict, Forbidden, NotFound
from portal.core.models import State
from portal.core.people import NOWHERE, Identity, Origin
from portal.core.subjects import OF_SERVICE
from portal.deployments import names
from portal.users import consent, entry, permissions, realms, visits

TOUCH_EVERY = timedelta(seconds=30)


@dataclass(frozen=True)
class Route:
    """Where nginx sends an allowed request. `token` is empty for services without one."""

    upstream: str
    token: str
    deployment_id: str
    touch: bool
    """Whether last activity is old enough to be written again."""
    user_id: int = 0
    port: int = 0
    service: str = ""


@dataclass(frozen=True)
class Door:
    """What somebody knocks at: a port of one of the gateway's hosts, or a name."""

    port: int = 0
    host: str = ""
    """"" is the portal's own."""
    name: str = ""
    """The first part of a name below PORTAL_APPS_DOMAIN."""


def route(portal: Portal, identity: Identity, door: Door) -> Route:
    """The route for an identity at a door.

    Forbidden when the port is not in the identity's own range, or the name is not theirs, NotFound
    when nothing was deployed there, Conflict when it is not running.
    """
    asked, index, port = _asked(portal, identity, door)
    if asked is not None:
        users.check_account(portal, asked)
    noun, where = ("name", "under this name") if door.name else ("port", "on this port")
    if asked is None or index is None or index != asked.range_index:
        raise Forbidden(
            "not_yours",
            f"This {noun} belongs to somebody else.",
            "Open your containers from the portal's own page.",
        )
    permissions.check_role_may_act(asked.role)
    wanted = consent.notice(portal)
    if wanted and not identity.subject.startswith(OF_SERVICE):
        consent.check_given(portal, wanted, asked.consent, asked.sessions_ended_at)
    holder = asked.holder
    if holder is None or holder.owner_id != asked.user_id or holder.slot is None:
        raise NotFound(
            "nothing_here",
            f"Nothing is deployed {where}.",
            "Deploy an image, or open your containers from the portal.",
        )
    if holder.state is not State.RUNNING or holder.address is None:
        raise Conflict(
            "not_running", _why_not_running(holder), "Go to My containers in the portal."
        )
    service = _service(index, holder.slot, port)
    if service is None:
        raise NotFound(
            "not_for_browsers",
            f"{holder.name} uses this port for SSH, not for a browser.",
            "My containers in the portal shows the command to connect with.",
        )
    last = holder.last_activity_at
    return Route(
        upstream=f"{holder.address}:{port}",
        token=holder.token if service is ports.Service.JUPYTER else "",
        deployment_id=holder.id,
        touch=last is None or abs(portal.now() - last) > TOUCH_EVERY,  # a clock may go back
        user_id=asked.user_id,
        port=port,
        service=service.name.lower(),
    )


def _asked(
    portal: Portal, identity: Identity, door: Door
) -> tuple[db.routes.Asked | None, int | None, int]:
    """Who asks, and the range and port that the door is."""
    for subject in realms.names(portal.settings, identity):
        index, port = _range_and_port(portal, subject, door)
        name = ports.lease_name(index or 0, port)
        asked = db.routes.asked(portal.database, subject, name, identity.fingerprint)
        if asked is None or realms.fits(portal.settings, identity, asked.root):
            return asked, index, port
    raise realms.other_realm(portal.settings)


def _range_and_port(portal: Portal, subject: str, door: Door) -> tuple[int | None, int]:
    settings = portal.settings
    if not settings.has_names:
        host = door.host or settings.public_host
        address = settings.hosts.index(host) if host in settings.hosts else -1
        return ports.range_index_of(door.port, address), door.port
    own, name = db.routes.range_of(portal.database, subject), names.parse(door.name)
    if own is None or own[1] is None or name is None or name.user != names.of_user(own[0]):
        return None, 0
    return own[1], ports.port_of(own[1], name.slot, name.service)


def _service(range_index: int, slot: int, port: int) -> ports.Service | None:
    """Of those behind the gateway."""
    numbers = ports.slot_ports(range_index, slot)
    return next((service for service, number in numbers.items() if number == port), None)


def touch(portal: Portal, route: Route, identity: Identity, origin: Origin = NOWHERE) -> None:
    """Note that a deployment was used just now, and its owner was there: with what, from where."""
    now = portal.now()
    with portal.database.transaction() as tx:
        db.deployments.update(tx, route.deployment_id, last_activity_at=now)
        before = now - entry.SEEN_EVERY
        db.users.owner_seen(tx, route.deployment_id, now, before)
        db.certificates.seen(tx, identity.fingerprint, now, origin.address, before)
        if portal.settings.consent_file:
            recent = now - consent.RENEW_EVERY
            db.consents.seen(tx, route.user_id, identity.fingerprint, now, recent)
    opened = (route.port, route.service)
    visits.note_port(portal, route.user_id, route.deployment_id, identity, origin, *opened)


def _why_not_running(holder: db.routes.Holder) -> str:
    name = holder.name
    if holder.state is State.FAILED and holder.failure:
        return f"{name} failed: {holder.failure}"
    if holder.state is State.STOPPED:
        return f"{name} is stopped. Its home folder is kept; start it to go on."
    if holder.state is State.WAITING:
        return f"{name} is number {holder.position} in the queue; it starts automatically."
    return f"{name} does not answer now (state: {holder.state})."
