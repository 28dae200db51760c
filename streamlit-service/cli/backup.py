"""Command line: backup and restore."""

from __future__ import annotations

import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from portal import db
from portal.context import Portal
from portal.core.errors import DatabaseTrouble, PortalError

from cli.common import HOUR_S, actor, wired

RETRY_S = 300.0
LEFTOVERS = ("*.unverified", ".*.part", ".verify-*", "*.unproven", ".proof-*")
"""Of runs that were killed; the last two are the names of earlier versions."""


def make(
    folder: Annotated[Path, typer.Argument(help="where backups are kept", file_okay=False)],
    keep: Annotated[
        int, typer.Option(min=0, help="how many of the newest to keep; 0: keep all")
    ] = 0,
    every_hours: Annotated[
        float, typer.Option(min=0, help="keep running, one backup every so many hours; 0: one now")
    ] = 0,
) -> None:
    """Back up all records while everything runs, and verify that they can be restored."""
    portal = wired()
    folder.mkdir(parents=True, exist_ok=True)
    if not every_hours:
        _one(portal, folder, keep)
        return
    _tidy(folder)
    while True:
        wait_s = _until_due(folder, every_hours * HOUR_S)
        if wait_s <= 0:
            try:
                _one(portal, folder, keep)
                continue
            except (PortalError, OSError, db.DatabaseError) as error:
                typer.echo(
                    f"The backup failed: {error}. Trying again in {RETRY_S / 60:.0f} min.", err=True
                )
                wait_s = RETRY_S
        time.sleep(wait_s)


def _until_due(folder: Path, every_s: float) -> float:
    """Seconds until the next is due; one from a time to come (a clock was wrong) postpones none."""
    now = time.time()
    made = (path.stat().st_mtime for path in folder.glob(f"*{db.backup.SUFFIX}"))
    return max((at for at in made if at <= now), default=0.0) + every_s - now


def _tidy(folder: Path) -> None:
    """Remove what runs that were killed left: it holds as many secrets as a backup does."""
    for path in (path for pattern in LEFTOVERS for path in folder.glob(pattern)):
        if time.time() - path.stat().st_mtime > HOUR_S:  # one that runs now is younger
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _one(portal: Portal, folder: Path, keep: int) -> None:
    now = datetime.now(UTC)
    path = folder / f"{now:%Y%m%dT%H%M%SZ}{db.backup.SUFFIX}"
    unverified = path.with_suffix(".unverified")  # never taken for a backup
    try:
        manifest = db.backup.write(portal.database, unverified, now)
        db.backup.verify(unverified)
    except DatabaseTrouble:
        unverified.unlink(missing_ok=True)
        raise
    except PortalError:
        for old in folder.glob("*.broken"):
            old.unlink()
        unverified.rename(path.with_suffix(".broken"))  # the newest is kept as evidence
        raise
    except BaseException:
        unverified.unlink(missing_ok=True)
        raise
    unverified.rename(path)
    with portal.database.transaction() as tx:
        db.audit.append(
            tx,
            now,
            actor().subject,
            "database.backed_up",
            "database",
            file=path.name,
            rows=manifest.rows,
            audit_hash=manifest.audit_hash,
        )
    for old in db.backup.keep_newest(folder, keep) if keep else ():
        typer.echo(f"Deleted the old backup {old.name}.")
    size = path.stat().st_size / 1e6
    typer.echo(
        f"Backed up {manifest.rows} rows to {path} ({size:.1f} MB); a test restore succeeded."
    )


def restore(
    file: Annotated[Path, typer.Argument(help="a backup", dir_okay=False)],
    replace: Annotated[
        bool, typer.Option("--replace", help="destroy the records that are there")
    ] = False,
) -> None:
    """Restore the database from a backup.

    Stop api, ui and worker first; start them again afterwards.
    """
    portal = wired()
    manifest = db.backup.restore(portal.database, file, replace=replace)
    with portal.database.transaction() as tx:
        db.audit.append(
            tx,
            datetime.now(UTC),
            actor().subject,
            "database.restored",
            "database",
            file=file.name,
            made_at=manifest.made_at,
            audit_hash=manifest.audit_hash,
        )
    typer.echo(f"Restored {manifest.rows} rows as of {manifest.made_at}. The audit trail is whole.")
    typer.echo(
        "The portal no longer knows containers created since then: "
        "the worker removes them; home folders stay."
    )
