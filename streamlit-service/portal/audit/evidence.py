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
TABLE = re.compile(r"<!-- cut-off table -->\n(?P<rows>.*?)<!-- end -->", re.DOTALL)


def documents(portal: Portal, until: datetime | None) -> Iterator[tuple[str, object]]:
    """(name, content) of each, as of the end of the period where the records can say that."""
    at = min(until or portal.now(), portal.now())
    with portal.database.reading() as tx:
        releases = [_release(tx, each, at) for each in db.releases.all_releases(tx)]
        names = {vm.id: vm.name for vm in db.vms.all_vms(tx)}
        isolation = [
            {"vm": names[vm_id], "at": each.at.isoformat(), **each.details()}
            for vm_id, each in db.isolation.last(tx).items()
            if vm_id in names
        ]
        backups = [
            {"at": event.at.isoformat(), **event.details}
            for event in db.audit.search(
                tx, db.audit.Wanted(kind="database", until=until), None, 20
            )
            if event.action == BACKED_UP
        ]
    yield "releases", [each for each in releases if each["created_at"] <= at.isoformat()]
    yield "isolation", isolation
    yield "cut-off", _cut_off(portal.settings.guides_dir)
    yield "restores", backups


def _release(tx: Tx, release: Release, at: datetime) -> dict[str, Any]:
    """With the findings of its last scan, and what was decided about it by then."""
    stored = db.releases.report_of(tx, release.id)
    report = stored[1] if stored else {}
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
        "state": release.state,
        "standin": release.standin,
        "published_by": release.published_by,
        "approved_by": release.approved_by,
        "signature_verified_at": verified,
        "scanned_at": release.scanned_at.isoformat() if release.scanned_at else None,
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
