"""May this identity open this port, and where does it lead."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from portal import db
from portal.context import Portal
from portal.core import ports
from portal.core.errors import Conflict, Forbidden, NotFound
from portal.core.models import Deployment, Identity, State

TOUCH_EVERY = timedelta(seconds=30)


@dataclass(frozen=True)
class Route:
    """Where nginx sends an allowed request. `token` is empty for services without one."""

    upstream: str
    token: str
    deployment_id: str
    touch: bool
    """Whether last activity is old enough to be written again."""


def route(portal: Portal, identity: Identity, port: int) -> Route:
    """The route for an identity at a port.

    Forbidden when the port is not in the identity's own range, NotFound when nothing was
    deployed there, Conflict when it is not running.
    """
    with portal.database.reading() as tx:
        user = db.users.by_subject(tx, identity.subject)
        deployment = db.deployments.at_port(tx, port)
    if user is None or ports.range_index_of(port) != user.range_index:
        raise Forbidden(
            "not_yours",
            "This port belongs to somebody else.",
            "Open your containers from the portal's own page.",
        )
    if deployment is None or deployment.owner.id != user.id or deployment.slot is None:
        raise NotFound(
            "nothing_here",
            "Nothing is deployed on this port.",
            "Deploy an image, or open your containers from the portal.",
        )
    if deployment.state is not State.RUNNING or deployment.vm is None:
        raise Conflict(
            "not_running", _why_not_running(deployment), "Go to My containers in the portal."
        )
    services = {
        number: service
        for service, number in ports.slot_ports(user.range_index, deployment.slot).items()
    }
    service = services.get(port)
    if service is None:
        raise NotFound(
            "not_for_browsers",
            f"{deployment.name} takes SSH on this port, not a browser.",
            "My containers in the portal shows the command to connect with.",
        )
    last = deployment.last_activity_at
    return Route(
        upstream=f"{deployment.vm.address}:{port}",
        token=deployment.jupyter_token if service is ports.Service.JUPYTER else "",
        deployment_id=deployment.id,
        touch=last is None or portal.now() - last > TOUCH_EVERY,
    )


def touch(portal: Portal, deployment_id: str) -> None:
    """Note that a deployment was used just now."""
    with portal.database.transaction() as tx:
        db.deployments.update(tx, deployment_id, last_activity_at=portal.now())


def _why_not_running(deployment: Deployment) -> str:
    name = deployment.name
    if deployment.state is State.FAILED and deployment.failure:
        return f"{name} failed: {deployment.failure.message}"
    if deployment.state is State.STOPPED:
        return f"{name} is stopped. Its home folder is kept; start it to go on."
    if deployment.state is State.WAITING:
        return f"{name} is number {deployment.position} in the queue; it starts automatically."
    return f"{name} is {deployment.state}; it is not answering yet."
