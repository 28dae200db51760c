"""What happened to a deployment, for its owner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from portal import db
from portal.context import Portal
from portal.core.models import Deployment
from portal.core.people import User
from portal.db.connection import Tx
from portal.deployments.service import get

MOST = 200


@dataclass(frozen=True)
class Event:
    """As the audit trail has it. `actor`: a subject, or "worker"."""

    at: datetime
    actor: str
    action: str
    details: Mapping[str, Any]


def past(portal: Portal, user: User, deployment_id: str) -> list[Event]:
    """Its events, the newest first, at most MOST. NotFound when it is somebody else's."""
    deployment = get(portal, user, deployment_id)
    with portal.database.reading() as tx:
        return of_deployment(tx, deployment)


def of_deployment(tx: Tx, deployment: Deployment) -> list[Event]:
    """Its events, the newest first, at most MOST."""
    events = db.audit.events(tx, f"deployment:{deployment.id}")
    return [
        Event(each.at, each.actor, each.action, each.details) for each in events[: -MOST - 1 : -1]
    ]
