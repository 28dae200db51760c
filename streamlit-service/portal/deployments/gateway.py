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


def route(portal: Portal, identity: Identity, port: int) -> Route:
    """The route for an identity at a port.

    Forbidden when the port is not in the identity's own range, NotFound when nothing was
    deployed there, Conflict when it is not running.
    """
    asked = _asked(portal, identity, port)
    if asked is not None:
        users.check_account(portal, asked)
    index = ports.range_index_of(port)
    if asked is None or index is None or index != asked.range_index:
        raise Forbidden(
            "not_yours",
            "This port belongs to somebody else.",
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
            "Nothing is deployed on this port.",
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


def _asked(portal: Portal, identity: Identity, port: int) -> db.routes.Asked | None:
    for name in realms.names(portal.settings, identity):
        asked = db.routes.asked(portal.database, name, port, identity.fingerprint)
        if asked is None or realms.fits(portal.settings, identity, asked.root):
            return asked
    raise realms.other_realm(portal.settings)


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
