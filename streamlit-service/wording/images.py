"""Releases of images: their scan, and whether they are on a VM."""

from __future__ import annotations

from datetime import datetime, timedelta

from portal.core.models import Release
from portal.images import Attention, Ready
from portal.images.attention import Cause

from wording.units import plural, size

SCANNED_AGAIN = ("scan_stale", "never_scanned", "waiver_expired")
"""Refusals that another scan may end."""
SCAN = "Scan it, ideally every night: `docker compose run --rm publisher image scan {image}`"


def verdict(release: Release) -> str:
    """What the last scan says, short."""
    if release.scanned_at is None:
        return "never scanned"
    if release.refused_for:
        return f"refused: {release.problem}"
    return f"passed, {plural(release.waived, 'finding')} waived" if release.waived else "passed"


def ready(ready: Ready | None, release: Release) -> tuple[str, str]:
    """Whether the image is on one's VMs, or what is to be downloaded first: an icon, words."""
    size_text = (
        f"{size(release.download_bytes)} to download"
        if release.download_bytes
        else "needs a download"
    )
    if ready is None or ready.vms == 0:
        return "cloud_download", f"{size_text} at the first start"
    if ready.vms == ready.of:
        return "bolt", "Ready on your VM" + ("s" if ready.of > 1 else "")
    return "bolt", f"Ready on {', '.join(ready.names[:3])}; {size_text} elsewhere"


def attention(what: Attention, now: datetime) -> tuple[str, str]:
    """What is with a release that a curator should look at, and what to do."""
    release = what.release
    match what.cause:
        case Cause.BLOCKED:
            code, said = (what.refusal.code, what.refusal.message) if what.refusal else ("", "")
            again = code in SCANNED_AGAIN
            return said, SCAN.format(image=release.image) if again else "Publish a new release"
        case Cause.STILL_USED:
            run = f"{plural(what.containers, 'container')} of it still run"
            still = f"Withdrawn, and {run}{'s' if what.containers == 1 else ''}"
            return still, "Ask the owners to stop them"
        case Cause.SCAN_ENDS:
            when = _in_days(what, now)
            why = f"Starts will be refused {when}: its scan will be too old"
            return why, SCAN.format(image=release.image)
        case Cause.WAIVER_ENDS:
            mend = "Publish a release without the flaw, or renew the waiver and scan again"
            return f"Starts will be refused {_in_days(what, now)}: a waiver will expire", mend
    return f"Published, awaiting a decision; {verdict(release)}", "Approve or withdraw it"


def _in_days(what: Attention, now: datetime) -> str:
    days = ((what.ends or now) - now) / timedelta(days=1)
    return f"in {plural(round(days), 'day')}" if days >= 1 else "today"
