"""The hourly proof of isolation: measured, recorded, and a VM with an open cell is taken out."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from portal import audit, db, deployments, vms
from portal.audit import Wanted
from portal.context import Portal
from portal.core.engine import VmReport
from portal.core.errors import EngineError
from portal.core.isolation import Isolation
from portal.core.models import Order, Vm, VmState
from portal.core.people import User
from portal.jobs import prove
from portal.jobs.observe import observe_health
from portal.jobs.prove import Proofs
from portal.vms import health as vm_health
from portal.vms import isolation
from support.fakes import FakeClock, FakeEngine
from support.samples import REFERENCE, TEST


@dataclass
class Vms(FakeEngine):
    """An engine whose containers say which of their doors open: those in `open`."""

    open: set[Any] = field(default_factory=set)
    tried: list[Any] = field(default_factory=list)
    open_once: bool = False
    """Only in the first measurement, which tries from both."""
    measured: int = 0
    keeps: bool = False
    """Nothing is removed, as by a worker that was killed."""

    def remove(self, container_id: str) -> None:
        if not self.keeps:
            super().remove(container_id)

    def logs(self, container_id: str, *, tail: int, since: str = "") -> bytes:
        box = self._find(container_id)
        doors = json.loads(box.spec.environment["KNOCK"])
        self.measured += bool(doors)
        self.tried += doors
        lines: list[dict[str, Any]] = [
            {"address": f"172.18.0.{len(box.spec.name)}", "gateway": "172.18.0.1"}
        ]
        if doors:
            shut = self.open_once and self.measured > 4  # each line is read twice a container
            lines.append({"opened": [tuple(door) in self.open and not shut for door in doors]})
        return b"".join(b"2026-01-05T09:00:00Z %s\n" % json.dumps(each).encode() for each in lines)


@pytest.fixture
def engine() -> Vms:
    return Vms(on_disk={REFERENCE})


@pytest.fixture
def vm(portal: Portal) -> Vm:
    """Prepared, with its firewall."""
    with portal.database.reading() as tx:
        known = db.vms.all_vms(tx)[0]
    vms.record_health(portal, known, VmReport("ok"))
    return replace(known, firewall="ok")


def measured(portal: Portal, vm: Vm, engine: Vms, *, reached: bool = True) -> Isolation:
    Proofs(portal, lambda *_: reached).prove(portal, vm, engine)
    return isolation.last(portal, TEST)[vm.id]


def as_recorded(portal: Portal) -> Vm:
    with portal.database.reading() as tx:
        return db.vms.all_vms(tx)[0]


def test_what_a_killed_worker_left_is_removed_once_before_anything_is_measured(
    portal: Portal, vm: Vm, engine: Vms
) -> None:
    engine.keeps = True
    measured(portal, vm, engine)
    engine.keeps = False
    assert len(engine.boxes) == 2, "it was killed before it removed them"
    next_one = Proofs(portal, lambda *_: True)
    vm = replace(vm, reachable=True)
    assert next_one.is_untidy(vm)
    next_one.tidy(portal, vm, engine)
    assert engine.boxes == {}
    assert not next_one.is_untidy(vm)


def test_every_cell_is_tried_from_both_and_recorded(portal: Portal, vm: Vm, engine: Vms) -> None:
    found = measured(portal, vm, engine)
    assert {cell.source for cell in found.cells} == {"a container of A", "a container of B"}
    assert {cell.target for cell in found.cells} == {
        "the other's notebook and TensorBoard",
        "the other's SSH",
        "the VM's SSH",
        "the VM's engine",
        "other VMs",
        "the portal",
        "the database",
        "cloud metadata",
        "GPUs",
        "the way out",
    }
    states = {cell.target: cell.state for cell in found.cells}
    # SQLite is no door, and there is no other VM: nothing was tried, and nothing is said.
    untried = {"the database", "other VMs"}
    assert {target for target, state in states.items() if state == "not tried"} == untried
    assert {state for target, state in states.items() if target not in untried} == {"closed"}
    for door in (["10.0.0.1", 9995], ["172.18.0.1", 22], ["169.254.169.254", 80]):
        assert door in engine.tried
    [event] = audit.read(portal, TEST, Wanted(kind="vm", text="isolation"))
    assert event.details["cells"]["a container of A"]["cloud metadata"] == "closed"
    assert engine.boxes == {}
    assert as_recorded(portal).state is VmState.ACTIVE


def test_an_open_cell_takes_the_vm_out_and_alarms(
    portal: Portal, vm: Vm, engine: Vms, clock: FakeClock
) -> None:
    engine.open = {("10.0.0.1", 22)}
    assert len(measured(portal, vm, engine).breaches) == 2
    now = as_recorded(portal)
    assert now.state is VmState.DRAINING
    [problem, *_] = vm_health.of_vm(now, clock())
    assert (problem.kind, problem.grave) == ("isolation", True)
    assert "A reached the VM's SSH" in problem.message
    actions = [event.action for event in audit.read(portal, TEST, Wanted(kind="vm"))]
    assert actions[:2] == ["vm.drained", "vm.isolation"]
    engine.open = set()
    measured(portal, now, engine)
    well = as_recorded(portal)
    assert (well.breaches, well.state) == ("", VmState.DRAINING)  # an administrator looks first


def test_what_is_open_only_once_is_no_breach(portal: Portal, vm: Vm, engine: Vms) -> None:
    engine.open, engine.open_once = {("10.0.0.1", 22)}, True
    assert measured(portal, vm, engine).breaches == []
    assert as_recorded(portal).state is VmState.ACTIVE


def test_what_a_setting_should_close_alarms_and_takes_nothing_out(
    portal: Portal, vm: Vm, engine: Vms
) -> None:
    settings = portal.settings.model_copy(update={"egress": "none"})
    engine.open = {("1.1.1.1", 443)}
    assert len(measured(replace(portal, settings=settings), vm, engine).breaches) == 2
    now = as_recorded(portal)
    assert now.state is VmState.ACTIVE
    assert "reached the way out" in now.breaches


def test_where_nobody_listens_closed_is_not_said(portal: Portal, vm: Vm, engine: Vms) -> None:
    def reaches(host: str, _: int) -> bool:
        return host == vm.address

    Proofs(portal, reaches).prove(portal, vm, engine)
    found = isolation.last(portal, TEST)[vm.id]
    assert {cell.state for cell in found.cells if cell.target == "the portal"} == {"not tried"}


@pytest.mark.parametrize(("egress", "breaches"), [("open", 0), ("proxy", 2), ("none", 2)])
def test_the_way_out_is_a_setting(
    portal: Portal, vm: Vm, engine: Vms, egress: str, breaches: int
) -> None:
    settings = portal.settings.model_copy(update={"egress": egress})
    engine.open = {("1.1.1.1", 443)}
    found = measured(replace(portal, settings=settings), vm, engine)
    assert len(found.breaches) == breaches
    assert "open" in {cell.state for cell in found.cells}


def test_a_container_that_gets_a_gpu_unasked_is_a_breach(
    portal: Portal, vm: Vm, engine: Vms
) -> None:
    engine.open = {("/dev/nvidia[0-9]*",)}
    assert {cell.target for cell in measured(portal, vm, engine).breaches} == {"GPUs"}


def test_nobody_listening_proves_nothing(portal: Portal, vm: Vm, engine: Vms) -> None:
    found = measured(portal, vm, engine, reached=False)
    assert "does not reach the containers" in found.problem
    assert not found.cells
    assert engine.boxes == {}


def test_without_an_image_or_an_engine_it_says_so_and_tries_again_soon(
    portal: Portal, vm: Vm, engine: Vms, clock: FakeClock
) -> None:
    proofs = Proofs(portal, lambda *_: True)
    assert proofs.is_due(vm)
    engine.on_disk.clear()
    assert "No approved image" in proofs.prove(portal, vm, engine).problem
    assert not proofs.is_due(vm)
    clock.forward(prove.AGAIN.total_seconds())
    assert proofs.is_due(vm)
    engine.failing["has_image"] = EngineError("away", "It is away.", "Wait.")
    assert "It is away." in proofs.prove(portal, vm, engine).problem
    assert not proofs.is_due(vm)


def test_the_same_trouble_is_told_once_an_hour(
    portal: Portal, vm: Vm, engine: Vms, clock: FakeClock
) -> None:
    engine.on_disk.clear()
    for _ in range(12):
        measured(portal, vm, engine)
        clock.forward(300)
    assert len(audit.read(portal, TEST, Wanted(kind="vm", text="isolation"))) == 1
    measured(portal, vm, engine)
    assert len(audit.read(portal, TEST, Wanted(kind="vm", text="isolation"))) == 2


def test_it_is_due_every_hour_whoever_leads(
    portal: Portal, vm: Vm, engine: Vms, clock: FakeClock
) -> None:
    measured(portal, vm, engine)
    another = Proofs(portal)
    assert not another.is_due(vm)
    clock.forward(portal.settings.proof_interval_s)
    assert another.is_due(vm)


@pytest.mark.parametrize(
    "change",
    [{"firewall": None}, {"firewall": "none"}, {"reachable": False}, {"state": VmState.NEW}],
)
def test_only_prepared_vms_promise_anything(portal: Portal, vm: Vm, change: dict[str, Any]) -> None:
    assert not Proofs(portal).is_due(replace(vm, **change))


def test_its_networks_and_those_of_who_begins_just_now_are_never_removed(
    portal: Portal, vm: Vm, engine: Vms, jane: User
) -> None:
    """Docker 20.10 does not start again where a network went while a container came."""
    measured(portal, vm, engine)
    mine = {name for name in engine.networks if "-proof-" in name}
    assert len(mine) == 2
    stray = mine.pop().replace("proof", "nobody")
    engine.networks.add(stray)
    keeps: list[Collection[str]] = []
    prune = engine.prune_networks

    def later(keep: Callable[[], Collection[str]]) -> None:
        deployments.request(portal, jane, Order("ml-cpu", "just-now"))  # once they are listed
        keeps.append(keep())
        prune(keep)

    engine.prune_networks = later  # type: ignore[method-assign]
    observe_health(portal, vm, engine)
    assert stray not in engine.networks
    assert len({name for name in engine.networks if "-proof-" in name}) == 2
    assert any(name.endswith(f"-{jane.id}") for name in keeps[0])
