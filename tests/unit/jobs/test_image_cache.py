"""VMs get approved releases ahead, within the limit, and lose what nobody needs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from portal import db, deployments, images, vms
from portal.context import Portal
from portal.core.errors import EngineError
from portal.core.models import Deployment, LayerProgress, Order, Release, Vm, VmState
from portal.core.people import User
from portal.jobs.image_cache import sync_images
from support.fakes import FakeEngine
from support.samples import CATALOG, REFERENCE, TEST, approved, image


def good(_: Release) -> None:
    """Every signature is."""


@pytest.fixture
def vm(portal: Portal) -> Vm:
    with portal.database.reading() as tx:
        return db.vms.all_vms(tx)[0]


def look(
    portal: Portal, vm: Vm, engine: FakeEngine, turns: threading.Semaphore | None = None
) -> dict[int, str]:
    sync_images(portal, vm, engine, good, turns or threading.Semaphore(1))
    with portal.database.reading() as tx:
        return db.releases.on_vm(tx, vm.id)


def test_an_approved_release_is_downloaded_ahead_and_shown_as_ready(
    portal: Portal, jane: User, vm: Vm, engine: FakeEngine
) -> None:
    assert images.ready(portal, jane)["ml-cpu"].vms == 0
    assert look(portal, vm, engine) == {1: "ready"}
    assert engine.pulled == [REFERENCE]
    ready = images.ready(portal, jane)["ml-cpu"]
    assert (ready.vms, ready.of, ready.names) == (1, 1, ("vm-01",))
    look(portal, vm, engine)
    assert engine.pulled == [REFERENCE]


def test_no_more_vms_download_at_once_than_allowed(
    portal: Portal, vm: Vm, engine: FakeEngine
) -> None:
    turns = threading.Semaphore(1)
    assert turns.acquire()
    assert look(portal, vm, engine, turns) == {}
    turns.release()
    assert look(portal, vm, engine, turns) == {1: "ready"}


def test_an_old_release_is_removed_once_nobody_has_a_container_of_it(
    portal: Portal, jane: User, vm: Vm, engine: FakeEngine, work_off: Callable[[str], Deployment]
) -> None:
    made = work_off(deployments.request(portal, jane, Order("ml-cpu", "a")).id)
    newer = approved(portal, 1)
    assert look(portal, vm, engine) == {1: "ready", newer.id: "ready"}
    deployments.act(portal, jane, made.id, "remove")
    work_off(made.id)
    assert look(portal, vm, engine) == {newer.id: "ready"}
    assert engine.on_disk == {newer.reference}


def test_images_for_gpus_stay_while_a_driver_does_not_answer(
    portal: Portal, vm: Vm, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(portal.catalog, "gpu-x", image("gpu-x", gpu=True))
    for_gpus = approved(portal, 1, "gpu-x")
    engine.on_disk.add(for_gpus.reference)
    with_gpus = replace(vm, gpu_access="nvidia")
    assert for_gpus.id in look(portal, with_gpus, engine)
    assert for_gpus.id in look(portal, replace(vm, gpu_access=None), engine)
    assert for_gpus.reference in engine.on_disk


def test_images_that_are_not_ours_stay(portal: Portal, vm: Vm, engine: FakeEngine) -> None:
    engine.on_disk.add("docker.io/somebody/else@sha256:" + "9" * 64)
    look(portal, vm, engine)
    assert len(engine.on_disk) == 2


def test_gpu_images_are_not_sent_to_vms_without_gpus(
    portal: Portal, vm: Vm, engine: FakeEngine
) -> None:
    both = replace(portal, catalog={**CATALOG, "gpu": image("gpu", gpu=True)})
    approved(both, 1, image="gpu")
    assert look(both, vm, engine) == {1: "ready"}
    assert set(look(both, replace(vm, gpu_access="nvidia"), engine)) == {1, 2}


@pytest.mark.parametrize("changes", [{"state": VmState.DRAINING}, {"reachable": False}])
def test_vms_that_take_nothing_get_nothing(
    portal: Portal, vm: Vm, engine: FakeEngine, changes: dict[str, object]
) -> None:
    assert look(portal, replace(vm, **changes), engine) == {}  # type: ignore[arg-type]


def test_what_is_not_signed_is_not_downloaded(portal: Portal, vm: Vm, engine: FakeEngine) -> None:
    def refuse(_: Release) -> None:
        raise EngineError("unsigned", "It is not signed.", "")

    sync_images(portal, vm, engine, refuse, threading.Semaphore(1))
    assert engine.pulled == []


def test_one_that_cannot_be_downloaded_keeps_no_other_from_coming(
    portal: Portal, vm: Vm, engine: FakeEngine
) -> None:
    both = replace(portal, catalog={**CATALOG, "another": image("another")})
    approved(both, 1, image="another")

    def only_ml_cpu(release: Release) -> None:
        if release.image != "ml-cpu":
            raise EngineError("unsigned", "It is not signed.", "")

    sync_images(both, vm, engine, only_ml_cpu, threading.Semaphore(1))
    assert engine.pulled == [REFERENCE]


def test_a_download_that_fails_leaves_no_trace_and_gives_its_turn_back(
    portal: Portal, vm: Vm, engine: FakeEngine
) -> None:
    turns = threading.Semaphore(1)
    engine.failing["pull"] = EngineError("disk_full", "The VM's disk is full.", "")
    assert look(portal, vm, engine, turns) == {}
    engine.failing.clear()
    assert look(portal, vm, engine, turns) == {1: "ready"}


def test_a_release_withdrawn_while_it_downloads_is_not_kept(portal: Portal, vm: Vm) -> None:
    class Withdrawing(FakeEngine):
        def pull(
            self, reference: str, on_progress: Callable[[tuple[LayerProgress, ...]], None]
        ) -> None:
            images.withdraw(portal, TEST, 1, "CVE-2026-1")
            super().pull(reference, on_progress)

    engine = Withdrawing()
    assert look(portal, vm, engine) == {}
    assert engine.on_disk == set()


def test_what_a_vm_lost_is_noticed(portal: Portal, vm: Vm, engine: FakeEngine, jane: User) -> None:
    look(portal, vm, engine)
    quiet = replace(portal, settings=portal.settings.model_copy(update={"prepull": False}))
    engine.on_disk.clear()
    assert look(quiet, vm, engine) == {}
    vms.remove(portal, TEST, "vm-01")
    assert images.ready(portal, jane)["ml-cpu"].of == 0
