"""What an export has besides events: the catalogue, isolation as measured, cut-off, restores."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from portal import db
from portal.context import Portal
from portal.core.models import Release
from portal.db import Tx

BACKED_UP = "database.backed_up"
MOST = 10_000
"""Backups of one export."""
TABLE = re.compile(r"<!-- cut-off table -->\n(?P<rows>.*?)<!-- end -->", re.DOTALL)


def documents(
    portal: Portal, since: datetime | None, until: datetime | None
) -> Iterator[tuple[str, object]]:
    """(name, content) of each; what is of a later time than the period's end is left out."""
    at = min(until or portal.now(), portal.now())
    wanted = db.audit.Wanted(kind="database", since=since, until=until)
    with portal.database.reading() as tx:
        made = [each for each in db.releases.all_releases(tx) if each.created_at <= at]
        releases = [_release(tx, each, at) for each in made]
        names = {vm.id: vm.name for vm in db.vms.all_vms(tx)}
        isolation = [
            {"vm": names[vm_id], "at": each.at.isoformat(), **each.details()}
            for vm_id, each in db.isolation.last(tx).items()
            if vm_id in names and each.at <= at
        ]
        backups = [
            {"at": event.at.isoformat(), **event.details}
            for event in db.audit.search(tx, wanted, None, MOST)
            if event.action == BACKED_UP
        ]
    yield "releases", releases
    yield "isolation", isolation
    yield "cut-off", _cut_off(portal.settings.guides_dir)
    yield "restores", backups


def _release(tx: Tx, release: Release, at: datetime) -> dict[str, Any]:
    """With the findings of its last scan, and what was decided about it by then."""
    stored, signed = db.releases.report_of(tx, release.id), db.releases.signature_of(tx, release.id)
    scanned = release.scanned_at if release.scanned_at and release.scanned_at <= at else None
    report = stored[1] if stored and scanned else {}
    decided = [
        {"at": event.at.isoformat(), "by": event.actor, "action": event.action}
        for event in db.audit.events(tx, f"image:{release.image}")
        if event.at <= at and event.details.get("version") == release.version
    ]
    verified = release.verified_at.isoformat() if release.verified_at else None
    severities = Counter(str(each.get("severity", "")) for each in report.get("findings", ()))
    return {
        "image": release.image,
        "version": release.version,
        "reference": release.reference,
        "created_at": release.created_at.isoformat(),
        "state_now": release.state,
        "standin": release.standin,
        "published_by": release.published_by,
        "approved_by": release.approved_by,
        "signature_verified_at": verified,
        "signed": vars(signed) if signed else None,
        "scanned_at": scanned.isoformat() if scanned else None,
        "scanned_later": bool(release.scanned_at) and not scanned,
        "findings": dict(severities),
        "refused_for": release.refused_for,
        "waived": release.waived,
        "report": report,
        "decided": decided,
    }


def _cut_off(guides: Path) -> list[str]:
    """The rows of SECURITY.md: how soon each way in closes, as the tests measured it last."""
    path = guides / "SECURITY.md"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    found = TABLE.search(text)
    return found["rows"].strip().splitlines() if found else []
