"""Decide whether a release may run.

Asked when it is ordered and again when it is started. Pure; signatures are the worker's.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from portal.core.errors import Conflict
from portal.core.models import Release, ReleaseState
from portal.core.settings import Settings

RUNS = {ReleaseState.APPROVED, ReleaseState.DEPRECATED}
ASK = "Deploy the image again, or ask {contact} to publish a new release."


def problem(settings: Settings, release: Release, now: datetime) -> str:
    """Why the release may not run, in words; "" when it may."""
    refused = refusal(settings, release, now)
    return refused.message if refused else ""


def refusal(settings: Settings, release: Release, now: datetime) -> Conflict | None:
    """Why the release may not run; None when it may."""
    try:
        check(settings, release, now)
    except Conflict as conflict:
        return conflict
    return None


def check(settings: Settings, release: Release, now: datetime) -> None:
    """Raise Conflict, each for its own reason, unless the release may run."""
    name, hint = f"{release.image} {release.version}", ASK.format(contact=settings.help_contact)
    if release.state is ReleaseState.WITHDRAWN:
        why = f": {release.reason}" if release.reason else ""
        raise Conflict("release_withdrawn", f"{name} was withdrawn{why}.", hint)
    if release.state not in RUNS:
        raise Conflict("release_not_approved", f"{name} is not approved.", hint)
    if release.scanned_at is None:
        raise Conflict("never_scanned", f"{name} was never scanned.", hint)
    if release.refused_for:
        why = f"{name} does not pass the policy: {release.problem}."
        raise Conflict(f"refused_{release.refused_for}", why, hint)
    if release.waived_until is not None and now.date() > release.waived_until:
        raise Conflict(
            "waiver_expired",
            f"A waiver for {name} expired on {release.waived_until}.",
            f"Ask {settings.help_contact} to fix it, or to renew the waiver and scan again.",
        )
    if now - release.scanned_at > timedelta(days=settings.scan_max_age_days):
        days = (now - release.scanned_at).days
        raise Conflict(
            "scan_stale",
            f"{name} was last scanned {days} days ago; {settings.scan_max_age_days:g} are allowed.",
            f"Ask {settings.help_contact} to run: admin.py image scan {release.image}",
        )
    if release.standin and not settings.allow_standins:
        raise Conflict(
            "refused_standin_base",
            f"{name} is built on a stand-in base, for demonstrations only.",
            hint,
        )
