"""What VMs report, their verification, and the authorization that must expire first."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from engine import vm_probe
from portal import db, deployments, vms
from portal.context import Portal
from portal.core.engine import EngineInfo, GpuReport, VmReport
from portal.core.errors import Conflict, EngineError, NoCapacity
from portal.core.models import Deployment, Order, Vm, VmState
from portal.core.people import User
from portal.core.ports import AUTHORIZATION_TTL_S
from portal.jobs import verify_vm
from portal.jobs.observe import observe_health
from portal.vms import health as vm_health
from support import gpu_world
from support.fakes import FakeClock, FakeEngine
from support.samples import TEST

SAID = """== clock 1000
== synchronised yes
== firewall ok
== disk 1048576000 52428800
== reserved 10000-10999
"""


def vm_of(portal: Portal, name: str = "vm-01") -> Vm:
    with portal.database.reading() as tx:
        vm = db.vms.by_name(tx, name)
    assert vm
    return vm


def test_the_gate_is_understood() -> None:
    assert vm_probe.parse(SAID, 990.0) == VmReport("ok", 50.0, 1000.0, 10.0, True, "10000-10999")


@pytest.mark.parametrize("text", ["", "garbage", "== firewall \n== clock x\n== disk \n"])
def test_a_gate_that_says_nothing_useful_is_unknown_not_well(text: str) -> None:
    report = vm_probe.parse(text, 0.0)
    assert (report.firewall, report.disk_free_gb, report.clock_skew_s) == ("unknown", None, None)


@pytest.mark.parametrize(
    ("report", "kinds"),
    [
        (VmReport("ok", 500, 1000, 0.3), []),
        (VmReport("missing", 500, 1000, 0.3), ["firewall"]),
        (VmReport("something new", 500, 1000, 0.3), ["firewall"]),
        (VmReport("ok", 4, 1000, -60), ["disk", "clock"]),
        (VmReport("ok", None, None, 0.3), ["disk"]),
        (VmReport("unknown", None, None, 0.3), ["firewall"]),
    ],
)
def test_problems_come_with_the_command_that_mends_them(report: VmReport, kinds: list[str]) -> None:
    problems = list(vm_health.problems("vm-01", report))
    assert [problem.kind for problem in problems] == kinds
    assert all(problem.hint and "vm-01" in problem.message for problem in problems)


def test_the_gate_tells_when_the_engine_started() -> None:
    at = vm_probe.engine_started_at(f"== engine 1767603600\n{SAID}")
    assert at == datetime(2026, 1, 5, 9, tzinfo=UTC)
    assert vm_probe.engine_started_at(SAID) is None  # a gate of before
    assert vm_probe.engine_started_at(f"== engine \n{SAID}") is None


def test_a_firewall_that_changes_is_recorded_once_and_audited(
    portal: Portal, engine: FakeEngine
) -> None:
    for word in ("ok", "ok", "missing", "missing", "ok"):
        engine.vm_report = VmReport(word, 500, 1000, 0.0)
        observe_health(portal, vm_of(portal), engine)
    with portal.database.reading() as tx:
        output = [
            event.details["firewall"]
            for event in db.audit.events(tx, "vm:vm-01")
            if event.action == "vm.firewall"
        ]
    assert output == ["ok", "missing", "ok"]
    assert vm_health.of_vm(vm_of(portal), portal.now()) == []


def test_a_firewall_that_nobody_speaks_for_any_more_is_no_good_one(
    portal: Portal, clock: FakeClock, engine: FakeEngine
) -> None:
    engine.vm_report = VmReport("ok", 500, 1000, 0.0)
    observe_health(portal, vm_of(portal), engine)
    engine.failing["check"] = EngineError("vm_unreachable", "portal-gate does not answer.", "")
    clock.forward(vm_health.REPORT_IS_OLD.total_seconds() / 2)
    observe_health(portal, vm_of(portal), engine)
    assert vm_health.of_vm(vm_of(portal), portal.now()) == []
    clock.forward(vm_health.REPORT_IS_OLD.total_seconds())
    observe_health(portal, vm_of(portal), engine)
    [problem] = vm_health.of_vm(vm_of(portal), portal.now())
    assert (problem.kind, problem.grave) == ("firewall", True)


def test_a_vm_whose_gate_was_taken_away_is_an_alarm(portal: Portal, engine: FakeEngine) -> None:
    remote(portal)
    engine.vm_report = VmReport("ok", 500, 1000, 0.0)
    observe_health(portal, vm_of(portal, "vm-02"), engine)
    engine.vm_report = None
    observe_health(portal, vm_of(portal, "vm-02"), engine)
    [problem] = vm_health.of_vm(vm_of(portal, "vm-02"), portal.now())
    assert (problem.hint, problem.from_portal) == (
        "scripts/setup-vm.sh --port 2222 --name vm-02 host.example",
        True,
    )


@pytest.mark.parametrize(
    ("reserved", "kept"),
    [
        ("10000-10999", True),
        ("80,9000-20000", True),
        ("10000-10100,10101-10999", True),
        ("10000-10998", False),
        ("", False),
    ],
)
def test_ports_that_are_not_kept_are_a_problem(
    portal: Portal, engine: FakeEngine, reserved: str, kept: bool
) -> None:
    remote(portal)
    engine.vm_report = VmReport("ok", 500, 1000, 0.0, True, reserved)
    observe_health(portal, vm_of(portal, "vm-02"), engine)
    assert [problem.kind for problem in vm_health.of_vm(vm_of(portal, "vm-02"), portal.now())] == (
        [] if kept else ["ports"]
    )


def remote(portal: Portal) -> None:
    """vm-02, reached over SSH and seen."""
    vms.add(portal, TEST, "vm-02", "ssh://portal@host.example:2222", "10.0.0.2")
    vms.record_probe(portal, vm_of(portal, "vm-02"), EngineInfo("28.0.0", 8, 32.0))


def test_one_machine_is_not_added_twice(portal: Portal) -> None:
    remote(portal)
    for engine_url, address in (
        ("ssh://portal@host.example:2222", "10.0.0.3"),
        ("ssh://portal@other", "10.0.0.2"),
    ):
        with pytest.raises(Conflict, match="vm-02 is the same machine"):
            vms.add(portal, TEST, "vm-03", engine_url, address)


def test_networks_of_people_who_have_nothing_left_go(
    portal: Portal,
    jane: User,
    john: User,
    engine: FakeEngine,
    work_off: Callable[[str], Deployment],
) -> None:
    for user in (jane, john):
        work_off(deployments.request(portal, user, Order("ml-cpu", name="mine")).id)
    assert len({box.spec.network for box in engine.boxes.values()}) == 2
    with portal.database.reading() as tx:
        [johns] = db.deployments.of_user(tx, john.id)
    deployments.act(portal, john, johns.id, "remove")
    work_off(johns.id)
    observe_health(portal, vm_of(portal), engine)
    assert engine.networks == {box.spec.network for box in engine.boxes.values()}


def checks_of(
    portal: Portal, engine: FakeEngine, *, answers: bool = True, vm: str = "vm-01"
) -> list[verify_vm.Check]:
    return list(
        verify_vm.verify_vm(
            portal, vm_of(portal, vm), engine, lambda vm, port: answers, lambda release: None
        )
    )


def test_a_good_vm_is_verified_with_a_container_that_is_gone_afterwards(
    portal: Portal, engine: FakeEngine
) -> None:
    engine.vm_report = VmReport("ok", 500, 1000, 0.0)
    checks = checks_of(portal, engine)
    assert {check.state for check in checks} == {"ok"}
    assert [check.name for check in checks] == ["engine", "firewall", "image", "container"]
    assert not engine.boxes


def test_a_new_vms_gpus_are_tried_although_nobody_looked_before(
    portal: Portal, engine: FakeEngine
) -> None:
    vms.remove(portal, TEST, "vm-01")
    vms.add(portal, TEST, "vm-02", "ssh://portal@vm-02", "10.0.0.2", state=VmState.NEW)
    engine.vm_report, engine.report = VmReport("ok", 500, 1000, 0.0), gpu_world.report(1)
    checks = checks_of(portal, engine, vm="vm-02")
    assert checks[-1].message.startswith("A container with A100 answered"), checks
    engine.report = GpuReport(
        (replace(gpu_world.report(1).gpus[0], problem="gpu_error"),), "535", "12.2", "nvidia"
    )
    last = checks_of(portal, engine, vm="vm-02")[-1]
    assert (last.name, last.state, "out of order" in last.message) == ("gpus", "failed", True)


@pytest.mark.parametrize("step", ["info", "check", "pull", "create", "start"])
def test_a_verification_that_fails_says_why_and_leaves_nothing(
    portal: Portal, engine: FakeEngine, step: str
) -> None:
    engine.vm_report = VmReport("ok", 500, 1000, 0.0)
    engine.failing[step] = EngineError("disk_full", "The VM's disk is full.", "Tell somebody.")
    assert checks_of(portal, engine)[-1].message == "The VM's disk is full."
    assert not engine.boxes


def test_without_a_firewall_no_container_is_tried(portal: Portal, engine: FakeEngine) -> None:
    engine.vm_report = VmReport("missing", 500, 1000, 0.0)
    checks = checks_of(portal, engine)
    assert [(check.name, check.state) for check in checks] == [
        ("engine", "ok"),
        ("firewall", "failed"),
    ]
    assert not engine.pulled


def test_a_vm_over_ssh_without_a_gate_is_not_verified(portal: Portal, engine: FakeEngine) -> None:
    remote(portal)
    engine.vm_report = None
    checks = checks_of(portal, engine, vm="vm-02")
    assert ("firewall", "failed") in [(check.name, check.state) for check in checks]
    assert not engine.pulled


def test_networks_that_cannot_be_pruned_do_not_take_the_firewalls_word_back(
    portal: Portal, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote(portal)

    def busy(_: object) -> None:
        raise EngineError("engine_failed", "The network is in use.", "")

    monkeypatch.setattr(engine, "prune_networks", busy)
    engine.vm_report = VmReport("ok", 500, 1000, 0.0)
    observe_health(portal, vm_of(portal, "vm-02"), engine)
    assert vm_of(portal, "vm-02").firewall == "ok"


def test_a_port_that_cannot_be_reached_points_to_the_gateways_address(
    portal: Portal, engine: FakeEngine
) -> None:
    engine.vm_report = VmReport("ok", 500, 1000, 0.0)
    assert "PORTAL_GATEWAYS" in checks_of(portal, engine, answers=False)[-1].hint


def test_a_new_vm_takes_no_containers_before_it_is_activated(portal: Portal, jane: User) -> None:
    vms.remove(portal, TEST, "vm-01")
    vms.add(portal, TEST, "vm-02", "ssh://portal@vm-02", "10.0.0.2", state=VmState.NEW)
    with pytest.raises(NoCapacity, match="not verified yet"):
        deployments.request(portal, jane, Order("ml-cpu", "one"))
    vms.activate(portal, TEST, "vm-02")
    made = deployments.request(portal, jane, Order("ml-cpu", "one"))
    assert made.vm and made.vm.name == "vm-02"


def test_a_port_that_was_anothers_a_moment_ago_outwaits_the_gateways_leave(
    portal: Portal,
    jane: User,
    clock: FakeClock,
    work_off: Callable[[str], Deployment],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)

    def again(name: str, after_s: float) -> float:
        with portal.database.reading() as tx:
            for old in db.deployments.of_user(tx, jane.id):
                deployments.act(portal, jane, old.id, "remove")
                work_off(old.id)
        clock.forward(after_s)
        waited.clear()
        work_off(deployments.request(portal, jane, Order("ml-cpu", name)).id)
        return sum(waited)

    assert again("first", 0) == 0
    assert again("at-once", 0) == AUTHORIZATION_TTL_S
    assert again("later", AUTHORIZATION_TTL_S + 1) == 0
