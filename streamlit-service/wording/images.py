"""Releases of images: their scan, and whether they are on a VM."""

from __future__ import annotations

from portal.core.models import Release
from portal.images import Ready

from wording.units import plural, size


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
        else "downloads first"
    )
    if ready is None or ready.vms == 0:
        return "cloud_download", f"{size_text} at the first start"
    if ready.vms == ready.of:
        return "bolt", "Ready on your VM" + ("s" if ready.of > 1 else "")
    return "bolt", f"Ready on {', '.join(ready.names[:3])}; elsewhere {size_text}"
