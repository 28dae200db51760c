"""A VM that is to be empty by a time: its owners know, and then it is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from board.notes import notes
from portal import deployments, vms
from portal.context import Portal
from portal.core.errors import Conflict, Invalid, NoCapacity
from portal.core.models import Deployment, Order, State, StopReason, VmState
from portal.core.people import User
from portal.deployments.overview import overview
from support.fakes import FakeClock
from support.samples import TEST

WHY = "its GPUs are exchanged"
DAY = timedelta(days=1)


def told(portal: Portal, jane: User) -> list[str]:
    seen = overview(portal, jane)
    [mine] = seen.deployments
    return [note.text for note in notes(portal.settings, seen, mine, ())]


@pytest.fixture
def vm(running: Deployment) -> str:
    assert running.vm
    return running.vm.name


def test_owners_read_when_and_why_from_then_on(
    portal: Portal, jane: User, vm: str, clock: FakeClock
) -> None:
    before = deployments.stamps(portal, [jane.id])
    vms.drain(portal, TEST, vm, clock() + DAY, WHY)
    assert deployments.stamps(portal, [jane.id]) != before
    [text] = told(portal, jane)
    assert "stopped at {at}" in text
    assert WHY in text
    assert deployments.empty(portal) == []


def test_at_that_time_what_runs_is_stopped_with_the_reason(
    portal: Portal,
    running: Deployment,
    vm: str,
    clock: FakeClock,
    work_off: Callable[[str], Deployment],
) -> None:
    vms.drain(portal, TEST, vm, clock() + DAY, WHY)
    clock.forward(DAY.total_seconds())
    assert [each.id for each in deployments.empty(portal)] == [running.id]
    assert deployments.empty(portal) == []
    ended = work_off(running.id)
    assert (ended.state, ended.stop_reason) == (State.STOPPED, StopReason.ADMIN)
    assert ended.stop_note == f"{vm} is taken out of use: {WHY}"
    [stopped, stopping, *_] = deployments.events(portal, TEST, running.id)
    assert (stopping.actor, stopping.action) == ("worker", "deployment.stopping")
    assert stopped.action == "deployment.stopped"


def test_the_time_can_be_changed_and_taken_back(
    portal: Portal, jane: User, vm: str, clock: FakeClock
) -> None:
    vms.drain(portal, TEST, vm, clock() + DAY, WHY)
    assert vms.drain(portal, TEST, vm, clock() + 2 * DAY, WHY).drain_by == clock() + 2 * DAY
    assert vms.drain(portal, TEST, vm).drain_by is None
    assert told(portal, jane) == []
    vms.drain(portal, TEST, vm, clock() + DAY, WHY)
    active = vms.activate(portal, TEST, vm)
    assert (active.state, active.drain_by) == (VmState.ACTIVE, None)
    clock.forward(2 * DAY.total_seconds())
    assert deployments.empty(portal) == []


@pytest.mark.parametrize("hours", [0, -1, 24 * 400])
def test_the_time_is_to_come(portal: Portal, vm: str, clock: FakeClock, hours: int) -> None:
    with pytest.raises(Invalid):
        vms.drain(portal, TEST, vm, clock() + timedelta(hours=hours), WHY)


def test_a_reason_is_needed(portal: Portal, vm: str, clock: FakeClock) -> None:
    with pytest.raises(Invalid):
        vms.drain(portal, TEST, vm, clock() + DAY)


def test_a_new_vm_is_removed_rather(portal: Portal, clock: FakeClock) -> None:
    vms.add(portal, TEST, "vm-99", "ssh://portal@vm-99", "10.9.9.9", state=VmState.NEW)
    with pytest.raises(Conflict, match="no containers yet"):
        vms.drain(portal, TEST, "vm-99", clock() + DAY, WHY)


def test_nothing_new_starts_there_meanwhile(
    portal: Portal, jane: User, vm: str, clock: FakeClock
) -> None:
    vms.drain(portal, TEST, vm, clock() + DAY, WHY)
    with pytest.raises(NoCapacity, match="draining"):
        deployments.request(portal, jane, Order("ml-cpu", "second", memory_gb=0.5, cpus=0.1))
