"""All SQL about releases, what was found in them, and which VM has them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Unpack

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from portal.core.models import Release, ReleaseState, State
from portal.core.signatures import Vouched
from portal.db import rows
from portal.db.columns import ReleaseColumns
from portal.db.connection import Tx
from portal.db.schema import deployments, release_signatures, releases, reports, vm_images

READY, PULLING = "ready", "pulling"
LAST_ID = 2**31 - 1
"""PostgreSQL's integer."""


def approved(tx: Tx) -> dict[str, Release]:
    """The release that was approved last, of each image, by image name."""
    query = sa.select(releases).where(releases.c.state == ReleaseState.APPROVED)
    query = query.order_by(releases.c.approved_at, releases.c.id)
    return {row.image: rows.release(row) for row in tx.execute(query)}


def all_releases(tx: Tx) -> list[Release]:
    """Every release, by image, newest first."""
    query = sa.select(releases).order_by(releases.c.image, releases.c.id.desc())
    return [rows.release(row) for row in tx.execute(query)]


def by_id(tx: Tx, release_id: int) -> Release | None:
    """The release with this number; numbers that no column holds name none."""
    if not 0 < release_id <= LAST_ID:
        return None
    row = tx.execute(sa.select(releases).where(releases.c.id == release_id)).first()
    return rows.release(row) if row is not None else None


def by_reference(tx: Tx, reference: str) -> Release | None:
    """The release with this name@digest."""
    row = tx.execute(sa.select(releases).where(releases.c.reference == reference)).first()
    return rows.release(row) if row is not None else None


def insert(tx: Tx, **values: Unpack[ReleaseColumns]) -> None:
    """Add a release."""
    tx.execute(releases.insert().values(**values))


def update(tx: Tx, release_id: int, **values: Unpack[ReleaseColumns]) -> None:
    """Change columns of a release."""
    tx.execute(releases.update().where(releases.c.id == release_id).values(**values))


def put_report(tx: Tx, release_id: int, packages: dict[str, str], report: dict[str, Any]) -> None:
    """Keep the newest report of a release, and what is in it."""
    _upsert(tx, reports, {"release_id": release_id}, {"packages": packages, "report": report})


def report_of(tx: Tx, release_id: int) -> tuple[dict[str, str], dict[str, Any]] | None:
    """(packages, report) of a release, or None when it was never scanned."""
    row = tx.execute(sa.select(reports).where(reports.c.release_id == release_id)).first()
    return (dict(row.packages), dict(row.report)) if row is not None else None


def put_signature(tx: Tx, release_id: int, vouched: Vouched) -> None:
    """Keep the signature that the registry has now."""
    _upsert(tx, release_signatures, {"release_id": release_id}, vars(vouched))


def signature_of(tx: Tx, release_id: int) -> Vouched | None:
    """The signature that was kept last."""
    c = release_signatures.c
    query = sa.select(c.payload, c.signature, c.key).where(c.release_id == release_id)
    row = tx.execute(query).first()
    return Vouched(*row) if row is not None else None


def all_reports(tx: Tx) -> list[Any]:
    """Rows (release_id, packages, report) of every release."""
    return list(tx.execute(sa.select(reports)))


def in_use(tx: Tx) -> dict[int, int]:
    """How many deployments that are not removed each release has, by its number."""
    query = sa.select(deployments.c.release_id, sa.func.count()).where(
        deployments.c.state != State.REMOVED
    )
    return dict(tx.execute(query.group_by(deployments.c.release_id)).tuples().all())


def running(tx: Tx) -> dict[int, int]:
    """How many deployments each release has that run or are about to, by its number."""
    over = (State.STOPPED, State.FAILED, State.REMOVED)
    query = sa.select(deployments.c.release_id, sa.func.count()).where(
        deployments.c.state.not_in(over)
    )
    return dict(tx.execute(query.group_by(deployments.c.release_id)).tuples().all())


# --- on VMs --------------------------------------------------------------------------------


def on_vm(tx: Tx, vm_id: int) -> dict[int, str]:
    """Release number → "ready" or "pulling", of a VM."""
    query = sa.select(vm_images.c.release_id, vm_images.c.state).where(vm_images.c.vm_id == vm_id)
    return dict(tx.execute(query).tuples().all())


def vms_with(tx: Tx) -> dict[int, set[int]]:
    """Release number → VMs on which it is ready."""
    query = sa.select(vm_images.c.release_id, vm_images.c.vm_id).where(vm_images.c.state == READY)
    vms: dict[int, set[int]] = {}
    for release_id, vm_id in tx.execute(query):
        vms.setdefault(release_id, set()).add(vm_id)
    return vms


def downloads(tx: Tx) -> list[Any]:
    """Rows (vm_id, release_id, done_bytes, total_bytes, updated_at) of downloads ahead of use."""
    return list(tx.execute(sa.select(vm_images).where(vm_images.c.state == PULLING)))


def put_on_vm(
    tx: Tx,
    vm_id: int,
    release_id: int,
    state: str,
    now: datetime,
    done_bytes: int = 0,
    total_bytes: int = 0,
) -> None:
    """Record that a VM has a release, or downloads it."""
    values = {
        "state": state,
        "done_bytes": done_bytes,
        "total_bytes": total_bytes,
        "updated_at": now,
    }
    _upsert(tx, vm_images, {"vm_id": vm_id, "release_id": release_id}, values)


def drop_from_vm(tx: Tx, vm_id: int, release_id: int) -> None:
    """Record that a VM does not have a release any more."""
    tx.execute(
        vm_images.delete().where(vm_images.c.vm_id == vm_id, vm_images.c.release_id == release_id)
    )


def _upsert(tx: Tx, table: sa.Table, key: dict[str, Any], values: dict[str, Any]) -> None:
    """Insert or update in one statement: two that do the same at once must not collide."""
    columns = list(key)
    if tx.dialect.name == "sqlite":
        tx.execute(
            sqlite.insert(table).values(**key, **values).on_conflict_do_update(columns, set_=values)
        )
    else:
        tx.execute(
            postgresql.insert(table)
            .values(**key, **values)
            .on_conflict_do_update(index_elements=columns, set_=values)
        )
