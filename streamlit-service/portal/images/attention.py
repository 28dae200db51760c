"""What a curator should look at: releases that wait for a decision, or stop starting."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta

from portal import db
from portal.context import Portal
from portal.core.models import Release, ReleaseState
from portal.core.people import User
from portal.core.settings import Settings
from portal.images import launch_gate
from portal.users import permissions

SOON = 0.2
"""A part of settings.scan_max_age_days."""


class Cause(enum.IntEnum):
    """The worst first."""

    BLOCKED = 1
    """It is offered or in use, and does not start."""
    STILL_USED = 2
    """It was withdrawn, and containers of it run on."""
    SCAN_ENDS = 3
    """Soon its last scan is too old."""
    UNDECIDED = 4
    """It was published after what new containers run, and nobody has approved it."""


@dataclass(frozen=True)
class Attention:
    """A release and why; `problem`: why it does not start, else "". `ends`: when its scan does."""

    cause: Cause
    release: Release
    containers: int
    problem: str = ""
    ends: datetime | None = None


def attention(portal: Portal, user: User) -> list[Attention]:
    """For curators: the worst first, at most one for each release."""
    permissions.curator(user)
    with portal.database.reading() as tx:
        releases = db.releases.all_releases(tx)
        current = {name: release.id for name, release in db.releases.approved(tx).items()}
        used = db.releases.in_use(tx)
    found = [
        each
        for release in releases
        if (
            each := _of(
                portal.settings,
                release,
                portal.now(),
                containers=used.get(release.id, 0),
                newer=release.id > current.get(release.image, 0),
            )
        )
    ]
    return sorted(found, key=lambda each: (each.cause, -each.containers, each.release.image))


def _of(
    settings: Settings, release: Release, now: datetime, *, containers: int, newer: bool
) -> Attention | None:
    if release.state is ReleaseState.WITHDRAWN:
        return Attention(Cause.STILL_USED, release, containers) if containers else None
    if release.state is ReleaseState.CANDIDATE:
        return Attention(Cause.UNDECIDED, release, containers) if newer else None
    if release.state is ReleaseState.DEPRECATED and not containers:
        return None
    if problem := launch_gate.problem(settings, release, now):
        return Attention(Cause.BLOCKED, release, containers, problem)
    most = timedelta(days=settings.scan_max_age_days)
    ends = release.scanned_at + most if release.scanned_at else now
    if ends - now < SOON * most:
        return Attention(Cause.SCAN_ENDS, release, containers, ends=ends)
    return None
