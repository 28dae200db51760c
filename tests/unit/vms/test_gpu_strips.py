"""The GPUs page's strips: who holds what, and how busy a VM's GPUs were in the last hour."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import wording
from portal import db, vms
from portal.context import Portal
from portal.core.figures import Figures
from portal.core.models import Vm
from portal.core.people import Role, User
from portal.vms import gpus
from support.gpu_world import ask, report
from support.samples import TEST


def busy(portal: Portal, percent: float, *, minutes_ago: int, deployment_id: str) -> None:
    minute = portal.now().replace(second=0, microsecond=0) - timedelta(minutes=minutes_ago)
    with portal.database.transaction() as tx:
        db.figures.put(tx, {deployment_id: Figures(minute, 1, 1, 1, gpu_utilisation=percent)})


def test_a_gpu_that_nobody_holds_counts_as_idle(portal: Portal, jane: User, gpu_vm: Vm) -> None:
    mine = ask(portal, jane, "train")
    busy(portal, 80, minutes_ago=1, deployment_id=mine.id)
    busy(portal, 40, minutes_ago=3, deployment_id=mine.id)
    busy(portal, 99, minutes_ago=70, deployment_id=mine.id)
    hour = gpus.last_hour(portal, gpus.overview(portal, jane))[gpu_vm.name]
    assert hour[-3:] == [20, None, 40]  # of two GPUs, and of a minute that nobody saw: nothing
    assert len(hour) == 60
    assert set(hour[:-3]) == {None}


def test_a_vm_that_was_not_seen_claims_nothing(portal: Portal, jane: User, gpu_vm: Vm) -> None:
    """Another VM was: of this one, whose GPU is held, nobody knows how busy it was."""
    mine = ask(portal, jane, "train")
    other = vms.add(portal, TEST, "vm-02", "ssh://portal@vm-02", "10.0.0.2")
    slices = report(1)
    silent = replace(slices, gpus=(replace(slices.gpus[0], uuid="MIG-0", utilisation=None),))
    vms.record_gpus(portal, other, silent)
    busy(portal, 80, minutes_ago=1, deployment_id=mine.id)
    hours = gpus.last_hour(portal, gpus.overview(portal, jane))
    assert hours[gpu_vm.name][-2:] == [None, 40]
    assert "vm-02" not in hours  # slices do not say how busy they are


def test_a_strip_says_what_each_gpu_is_to_the_one_who_looks(
    portal: Portal, jane: User, john: User, gpu_vm: Vm
) -> None:
    mine = ask(portal, jane, "train")
    busy(portal, 80, minutes_ago=1, deployment_id=mine.id)
    seen = gpus.overview(portal, jane)
    [strip] = wording.gpus.strips(seen, gpus.last_hour(portal, seen))
    assert (strip["name"], strip["free"]) == (gpu_vm.name, "1 of 2 free")
    assert strip["busy"] == "40 % busy in the last hour"
    assert [(gpu["word"], gpu["who"]) for gpu in strip["gpus"]] == [
        ("Yours", "train"),
        ("Free", ""),
    ]
    admin = replace(john, role=Role.ADMIN)
    rays = wording.gpus.strips(gpus.overview(portal, admin), {})[0]
    assert [gpu["who"] for gpu in rays["gpus"]] == ["Jane Q Doe · train", ""]
    assert (rays["hour"], rays["busy"]) == ([], "")


def test_ones_share_is_said_in_a_line(portal: Portal, jane: User, gpu_vm: Vm) -> None:
    assert wording.gpus.share(gpus.overview(portal, jane)) == "2 of 2 GPUs free"
    ask(portal, jane, "train", 2)
    assert wording.gpus.share(gpus.overview(portal, jane)) == "0 of 2 GPUs free · 2 yours"
