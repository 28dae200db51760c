"""What a curator should look at: releases that wait for a decision, or stop starting."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from portal import db
from portal.context import Portal
from portal.core.errors import Conflict
from portal.core.models import Release, ReleaseState
from portal.core.people import User
from portal.core.settings import Settings
from portal.images import launch_gate
from portal.users import permissions

SOON = 0.2
"""A part of settings.scan_max_age_days."""
WAIVER_DAYS = 14
"""So long before its end a waiver is told of: to mend a flaw takes longer than to scan again."""


class Cause(enum.IntEnum):
    """The worst first."""

    BLOCKED = 1
    """It is offered or in use, and does not start."""
    STILL_USED = 2
    """It was withdrawn, and containers of it run on."""
    SCAN_ENDS = 3
    """Soon its last scan is too old."""
    WAIVER_ENDS = 4
    """Soon a waiver that it needs is over."""
    UNDECIDED = 5
    """It was published after what new containers run, and nobody has approved it."""


@dataclass(frozen=True)
class Attention:
    """A release and why. `refusal`: why it does not start; `ends`: when scan or waiver is over."""

    cause: Cause
    release: Release
    containers: int
    """Those that run of a withdrawn one; of others all that there are."""
    refusal: Conflict | None = None
    ends: datetime | None = None


def attention(portal: Portal, user: User) -> list[Attention]:
    """For curators: the worst first, at most one for each release."""
    permissions.catalogue_reader(user)
    with portal.database.reading() as tx:
        releases = db.releases.all_releases(tx)
        current = {name: release.id for name, release in db.releases.approved(tx).items()}
        used, running = db.releases.in_use(tx), db.releases.running(tx)
    now, found = portal.now(), list[Attention]()
    for release in releases:
        of_image = current.get(release.image, 0)
        if release.state is ReleaseState.WITHDRAWN:
            if release.id in running:
                found.append(Attention(Cause.STILL_USED, release, running[release.id]))
        elif release.state is ReleaseState.CANDIDATE:
            if release.id > of_image:
                found.append(Attention(Cause.UNDECIDED, release, 0))
        elif release.id == of_image or release.id in used:
            found += _of(portal.settings, release, now, used.get(release.id, 0))
    return sorted(found, key=lambda each: (each.cause, -each.containers, each.release.image))


def _of(settings: Settings, release: Release, now: datetime, containers: int) -> list[Attention]:
    """Of one that is offered or in use."""
    if refused := launch_gate.refusal(settings, release, now):
        return [Attention(Cause.BLOCKED, release, containers, refused)]
    most = timedelta(days=settings.scan_max_age_days)
    ends = release.scanned_at + most if release.scanned_at else now
    if ends - now < SOON * most:
        return [Attention(Cause.SCAN_ENDS, release, containers, ends=ends)]
    if release.waived_until and release.waived_until - now.date() < timedelta(days=WAIVER_DAYS):
        over = datetime.combine(release.waived_until + timedelta(days=1), time(), now.tzinfo)
        return [Attention(Cause.WAIVER_ENDS, release, containers, ends=over)]
    return []
