"""Which releases a VM has: seen, downloaded ahead, and removed again when nobody needs them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping

import structlog

from portal import db
from portal.context import Portal
from portal.core.engine import Engine
from portal.core.errors import PortalError
from portal.core.models import LayerProgress, Release, Vm, VmState
from portal.images import launch_gate
from portal.jobs.start_stop import Verify

log = structlog.get_logger()

NOTE_EVERY_S = 1.0


class _Stopped(Exception):
    """The release is not wanted on this VM any more."""


def sync_images(
    portal: Portal, vm: Vm, engine: Engine, verify: Verify, at_once: threading.Semaphore
) -> None:
    """Remove images that are old and unused; download a missing one if a download slot is free."""
    if not vm.reachable:
        return
    try:
        present = engine.images()
        with portal.database.reading() as tx:
            releases = db.releases.all_releases(tx)
            recorded = db.releases.on_vm(tx, vm.id)
            used = {deployment.release.id for deployment in db.deployments.on_vm(tx, vm.id)}
            approved = db.releases.approved(tx)
            wanted = _wanted(portal, vm, approved)
            # Of a VM whose driver is updated the GPUs are away for a while: their images stay.
            kept = {release.id for name, release in approved.items() if name in portal.catalog}
        _note(
            portal,
            vm,
            {release.id: release for release in releases if release.reference in present},
            recorded,
        )
        if not portal.settings.prepull or vm.state is not VmState.ACTIVE:
            return
        for release in releases:
            if release.reference in present and release.id not in used | kept:
                _remove(portal, vm, engine, release)
        missing = [release for release in wanted.values() if release.reference not in present]
        if missing and at_once.acquire(blocking=False):
            try:
                _download_first(portal, vm, engine, missing, verify)
            finally:
                at_once.release()
    except PortalError as error:
        log.warning("images_not_synced", vm=vm.name, code=error.code, cause=error.cause)


def _wanted(portal: Portal, vm: Vm, approved: Mapping[str, Release]) -> dict[int, Release]:
    """What people may deploy there now; images for GPUs only where there are GPUs."""
    return {
        release.id: release
        for name, release in approved.items()
        if name in portal.catalog and (vm.gpu_access or not portal.catalog[name].gpu)
    }


def _note(
    portal: Portal, vm: Vm, present: Mapping[int, Release], recorded: Mapping[int, str]
) -> None:
    """Record what changed.

    A download on record is one that a worker's end broke off: no other probe of this VM is running.
    """
    now = portal.now()
    came = [release_id for release_id in present if recorded.get(release_id) != db.releases.READY]
    went = [release_id for release_id in recorded if release_id not in present]
    if not came and not went:
        return
    with portal.database.transaction() as tx:
        for release_id in came:
            db.releases.put_on_vm(tx, vm.id, release_id, db.releases.READY, now)
        for release_id in went:
            db.releases.drop_from_vm(tx, vm.id, release_id)


def _remove(portal: Portal, vm: Vm, engine: Engine, release: Release) -> None:
    try:
        engine.remove_image(release.reference)
    except PortalError as error:
        log.warning("image_not_removed", vm=vm.name, image=release.reference, cause=error.cause)
        return
    log.info("image_removed", vm=vm.name, image=release.reference)
    with portal.database.transaction() as tx:
        db.releases.drop_from_vm(tx, vm.id, release.id)


def _download_first(
    portal: Portal, vm: Vm, engine: Engine, missing: Iterable[Release], verify: Verify
) -> None:
    """One that can be downloaded: one that cannot keeps none of the others from coming."""
    for release in missing:
        try:
            _download(portal, vm, engine, release, verify)
        except PortalError as error:
            log.warning(
                "prepull_failed",
                vm=vm.name,
                image=release.reference,
                code=error.code,
                cause=error.cause,
            )
            continue
        return


def _download(portal: Portal, vm: Vm, engine: Engine, release: Release, verify: Verify) -> None:
    """Only what might start.

    Whoever deploys it meanwhile shares the download: engines fetch a layer once.
    """
    launch_gate.check(portal.settings, release, portal.now())
    verify(release)
    written = 0.0

    def on_progress(layers: tuple[LayerProgress, ...]) -> None:
        nonlocal written
        if time.monotonic() - written < NOTE_EVERY_S:
            return
        written = time.monotonic()
        done, total = sum(layer.current for layer in layers), sum(layer.total for layer in layers)
        with portal.database.transaction() as tx:
            current = db.releases.by_id(tx, release.id)
            if current is None or current.state not in launch_gate.RUNS:
                raise _Stopped
            db.releases.put_on_vm(
                tx,
                vm.id,
                release.id,
                db.releases.PULLING,
                portal.now(),
                done,
                max(total, release.download_bytes),
            )

    log.info("prepull_started", vm=vm.name, image=release.reference)
    state = None
    try:
        engine.pull(release.reference, on_progress)
        state = db.releases.READY
    except _Stopped:
        log.info("prepull_stopped", vm=vm.name, image=release.reference)
    finally:
        with portal.database.transaction() as tx:
            db.releases.drop_from_vm(tx, vm.id, release.id)
            if state:
                db.releases.put_on_vm(tx, vm.id, release.id, state, portal.now())
