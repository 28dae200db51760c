"""What a deployment used over time, for its owner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from portal import db
from portal.context import Portal
from portal.core.figures import Figures
from portal.core.models import Deployment
from portal.core.people import User
from portal.db.figures import HOUR, KEPT, MINUTE
from portal.deployments.service import get

ON_THE_WAY = timedelta(minutes=10)
"""A browser asks for the last day by its own clock, and its question takes a while."""


@dataclass(frozen=True)
class History:
    """`span`: what each of the points is of, the oldest first; missing ones were not seen."""

    deployment: Deployment
    span: timedelta
    points: Sequence[Figures]

    @property
    def memory_peak_gb(self) -> float | None:
        """The most memory that it had; None when nothing was seen."""
        return max((point.memory_peak_gb for point in self.points), default=None)


def history(
    portal: Portal, user: User, deployment_id: str, since: datetime | None = None
) -> History:
    """By the minute since up to a day ago (default: the last hour), else by the hour.

    NotFound when there is none or it is somebody else's.
    """
    deployment, now = get(portal, user, deployment_id), portal.now()
    since = since or now - HOUR
    span = MINUTE if now - since <= KEPT[MINUTE] + ON_THE_WAY else HOUR
    with portal.database.reading() as tx:
        points = db.figures.of(tx, deployment.id, span, since)
        if span == HOUR:
            last = points[-1].at if points else None
            points += db.figures.not_added_up(tx, deployment.id, last, now)
    return History(deployment, span, points)
