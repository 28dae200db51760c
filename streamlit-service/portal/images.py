"""Releases of curated images: which digests may run."""

from __future__ import annotations

import re
from datetime import datetime

from portal import audit, store
from portal.context import Portal
from portal.errors import Invalid
from portal.models import Release, ReleaseState

REFERENCE = re.compile(r"[a-z0-9][a-z0-9.:/_-]*@sha256:[0-9a-f]{64}")


def approve(
    portal: Portal, actor: str, *, image: str, version: str, reference: str, size_bytes: int,
    standin: bool, created_at: datetime,
) -> Release:  # fmt: skip
    """Make a digest the one that runs for an image; a known one again, too: that is how to go back.

    Approving what is the current one changes nothing.
    """
    if image not in portal.catalog:
        raise Invalid("unknown_image", f"{image!r} is not in the catalogue.", "Add it to images/catalog.yaml first.")
    if not REFERENCE.fullmatch(reference):
        raise Invalid("no_digest", f"{reference!r} is not name@sha256:digest; a tag is never deployed.",
                      "Give the digest that the push printed.")  # fmt: skip
    now = portal.now()
    with portal.store.transaction() as tx:
        known = store.release_by_reference(tx, reference)
        if known and store.approved_releases(tx).get(image) == known:
            return known
        if known:
            store.approve_release(tx, known.id, now)
        else:
            store.insert_release(tx, image=image, version=version, reference=reference,
                                 digest=reference.split("@")[1], size_bytes=size_bytes, standin=standin,
                                 state=ReleaseState.APPROVED, created_at=created_at, approved_at=now)  # fmt: skip
        audit.append(tx, now, actor, "release.approved", f"image:{image}", reference=reference, version=version)
        made = store.release_by_reference(tx, reference)
    assert made is not None
    return made
