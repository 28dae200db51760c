"""There is always a way out: a VM that is lost, a stop that does not succeed, an order to stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from board import board
from portal import db, deployments, vms
from portal.context import Portal
from portal.core.engine import ContainerStatus
from portal.core.errors import Conflict, EngineError, Forbidden, Invalid, NotFound, VmUnreachable
from portal.core.models import Deployment, Order, State, StopReason, Vm
from portal.core.people import User
from portal.core.resources import Quota
from portal.jobs.observe import observe
from portal.jobs.reconciler import TRIES, Reconciler
from portal.scheduling import quotas
from portal.vms import gpus
from support.fakes import FakeClock, FakeEngine
from support.samples import TEST

WorkOff = Callable[..., Deployment]
REASON = "The machine burnt down."


def recorded(portal: Portal) -> Vm:
    with portal.database.reading() as tx:
        vm = db.vms.by_name(tx, "vm-01")
    assert vm
    return vm


def lose(portal: Portal, engine: FakeEngine) -> None:
    engine.failing["info"] = VmUnreachable("vm_unreachable", "The VM vm-01 does not answer.")
    observe(portal, recorded(portal), engine)


def held(portal: Portal) -> list[str]:
    with portal.database.reading() as tx:
        return sorted(f"{row['kind']}:{row['deployment_id']}" for row in db.leases.live(tx))


@pytest.mark.parametrize("asked", ["", "stop", "restart"])
def test_what_was_on_a_lost_vm_is_stopped_and_all_it_held_is_free(
    portal: Portal, jane: User, engine: FakeEngine, gpu_vm: Vm, work_off: WorkOff, asked: str
) -> None:
    made = work_off(deployments.request(portal, jane, Order("ml-cpu", "gpu", gpus=1)).id)
    if asked:
        deployments.act(portal, jane, made.id, asked)
    lose(portal, engine)
    assert [each.id for each in deployments.remove_lost_vm(portal, TEST, "vm-01", REASON)] == [
        made.id
    ]
    seen = deployments.get(portal, jane, made.id)
    assert (seen.state, seen.stop_reason, seen.stop_note) == (
        State.STOPPED,
        StopReason.VM_LOST,
        REASON,
    )
    assert {each.partition(":")[0] for each in held(portal)} == {"port"}
    with portal.database.reading() as tx:
        last = db.audit.events(tx, f"deployment:{made.id}")[-1]
        assert db.vms.all_vms(tx) == []
    assert (last.action, last.actor) == ("deployment.stopped", TEST.subject)


def test_a_removal_on_a_lost_vm_is_done(
    portal: Portal, jane: User, engine: FakeEngine, running: Deployment
) -> None:
    deployments.act(portal, jane, running.id, "remove")
    lose(portal, engine)
    deployments.remove_lost_vm(portal, TEST, "vm-01", REASON)
    assert (deployments.mine(portal, jane), held(portal)) == ([], [])


def test_what_was_on_a_lost_vm_starts_on_another(
    portal: Portal, jane: User, engine: FakeEngine, running: Deployment, work_off: WorkOff
) -> None:
    lose(portal, engine)
    vms.add(portal, TEST, "vm-02", "ssh://portal@vm-02", "10.0.0.2")
    deployments.remove_lost_vm(portal, TEST, "vm-01", REASON)
    deployments.act(portal, jane, running.id, "start")
    again = deployments.get(portal, jane, running.id)
    assert again.vm and again.vm.name == "vm-02"


def test_a_vm_that_was_lost_and_comes_back_is_cleaned_before_it_takes_anything(
    portal: Portal, jane: User, engine: FakeEngine, running: Deployment, work_off: WorkOff
) -> None:
    lose(portal, engine)
    deployments.remove_lost_vm(portal, TEST, "vm-01", REASON)
    deployments.act(portal, jane, running.id, "remove")
    engine.failing.clear()
    vms.add(portal, TEST, "vm-01", "unix:///var/run/docker.sock", "10.0.0.1")
    assert not recorded(portal).reachable
    observe(portal, recorded(portal), engine)
    assert (recorded(portal).reachable, engine.boxes) == (True, {})


def test_a_vm_that_answers_is_not_lost(
    portal: Portal, jane: User, engine: FakeEngine, running: Deployment
) -> None:
    observe(portal, recorded(portal), engine)
    with pytest.raises(Conflict) as refused:
        deployments.remove_lost_vm(portal, TEST, "vm-01", REASON)
    assert refused.value.code == "vm_answers"
    assert deployments.get(portal, jane, running.id).state is State.RUNNING


def test_only_administrators_end_other_peoples_work_and_only_with_a_reason(
    portal: Portal, jane: User, john: User, engine: FakeEngine, running: Deployment
) -> None:
    lose(portal, engine)
    for end in (
        lambda who, why: deployments.stop(portal, who, running.id, why),
        lambda who, why: deployments.give_up(portal, who, running.id, why),
        lambda who, why: deployments.remove_lost_vm(portal, who, "vm-01", why),
        lambda who, why: deployments.act_for(portal, who, running.id, "restart", why),
    ):
        with pytest.raises(Forbidden):
            end(john, REASON)
        with pytest.raises(Invalid):
            end(TEST, "  \n ")
    assert deployments.get(portal, jane, running.id).state is State.RUNNING


def test_an_administrator_stops_somebodys_container_and_the_owner_reads_why(
    portal: Portal, jane: User, running: Deployment, work_off: WorkOff
) -> None:
    deployments.stop(portal, TEST, running.id, "The GPU is needed\n for a demonstration.")
    seen = work_off(running.id)
    assert (seen.state, seen.stop_reason, seen.stop_note) == (
        State.STOPPED,
        StopReason.ADMIN,
        "The GPU is needed for a demonstration.",
    )
    deployments.act(portal, jane, running.id, "start")
    again = deployments.get(portal, jane, running.id)
    assert (again.stop_reason, again.stop_note) == (None, "")


def test_an_administrator_restarts_starts_and_removes_for_somebody_who_reads_why(
    portal: Portal, jane: User, running: Deployment, work_off: WorkOff
) -> None:
    deployments.act_for(portal, TEST, running.id, "restart", "Its kernel hung.")
    work_off(running.id)  # it stops, and
    again = work_off(running.id)
    assert (again.state, again.owner.subject) == (State.RUNNING, jane.subject)
    [card] = board(portal, jane).cards
    assert any("Its kernel hung." in note.text for note in card.notes)
    deployments.act(portal, jane, running.id, "stop")
    work_off(running.id)
    deployments.act_for(portal, TEST, running.id, "start", "For the demonstration.")
    assert work_off(running.id).stop_note == "For the demonstration."
    with pytest.raises(Conflict):
        deployments.act_for(portal, TEST, running.id, "start", "Again.")
    deployments.act_for(portal, TEST, running.id, "remove", "Nobody used it.")
    assert work_off(running.id).state is State.REMOVED
    with pytest.raises(NotFound):
        deployments.act_for(portal, TEST, running.id, "start", "Again.")
    with portal.database.reading() as tx:
        events = db.audit.events(tx, f"deployment:{running.id}")
    asked = [each for each in events if each.actor == TEST.subject]
    assert [each.details["request"] for each in asked] == ["restart", "start", "remove"]
    assert [each.details["reason"] for each in asked][-1] == "Nobody used it."


def test_what_an_administrator_starts_counts_for_its_owner(
    portal: Portal, jane: User, running: Deployment, work_off: WorkOff
) -> None:
    deployments.act(portal, jane, running.id, "stop")
    work_off(running.id)
    quotas.set_quota(portal, TEST, quotas.USER, jane.subject, Quota(memory_gb=0.5))
    with pytest.raises(Forbidden, match="you may use"):
        deployments.act_for(portal, TEST, running.id, "start", REASON)
    deployments.disable(portal, TEST, jane.subject, REASON)
    with pytest.raises(Forbidden, match="disabled"):
        deployments.act_for(portal, TEST, running.id, "start", REASON)


def test_an_administrator_reads_what_happened_to_anybodys(
    portal: Portal, john: User, running: Deployment
) -> None:
    assert [each.action for each in deployments.events(portal, TEST, running.id)][-1:] == [
        "deployment.pending"
    ]
    with pytest.raises(Forbidden):
        deployments.events(portal, john, running.id)


@pytest.mark.parametrize("who", ["owner", "administrator"])
def test_a_restart_that_still_stops_can_become_a_stop(
    portal: Portal, jane: User, running: Deployment, work_off: WorkOff, who: str
) -> None:
    deployments.act(portal, jane, running.id, "restart")
    if who == "owner":
        deployments.act(portal, jane, running.id, "stop")
    else:
        deployments.stop(portal, TEST, running.id, REASON)
    assert work_off(running.id).state is State.STOPPED
    deployments.act(portal, jane, running.id, "start")
    work_off(running.id)
    deployments.act(portal, jane, running.id, "stop")
    with pytest.raises(Conflict):  # it is asked for already
        deployments.act(portal, jane, running.id, "stop")


def test_a_stop_that_does_not_succeed_is_told_and_can_be_given_up(
    portal: Portal, jane: User, engine: FakeEngine, gpu_vm: Vm, work_off: WorkOff
) -> None:
    made = work_off(deployments.request(portal, jane, Order("ml-cpu", "gpu", gpus=1)).id)
    deployments.act(portal, jane, made.id, "stop")
    with pytest.raises(Conflict) as refused:
        deployments.give_up(portal, TEST, made.id, REASON)
    assert refused.value.code == "not_stuck"
    for step in ("stop", "remove"):
        engine.failing[step] = EngineError("engine_refused", "The engine cannot kill it.")
    stuck = work_off(made.id)
    assert stuck.trouble and stuck.trouble.message == "The engine cannot kill it."
    assert [each.id for each in deployments.stuck(portal, TEST)] == [made.id]
    deployments.give_up(portal, TEST, made.id, REASON)
    seen = deployments.get(portal, jane, made.id)
    assert (seen.state, seen.failure and seen.failure.code) == (State.FAILED, "given_up")
    assert held(portal) == [f"gpu:{made.id}"]  # its process may still use it
    observe(portal, recorded(portal), engine)
    assert held(portal) == [f"gpu:{made.id}"]
    engine.failing.clear()
    engine.boxes.clear()  # the VM was rebooted
    observe(portal, recorded(portal), engine)
    assert held(portal) == []


def test_a_removal_that_does_not_succeed_can_be_given_up(
    portal: Portal, jane: User, engine: FakeEngine, running: Deployment, work_off: WorkOff
) -> None:
    engine.failing["remove"] = EngineError("engine_refused", "The engine cannot kill it.")
    deployments.act(portal, jane, running.id, "remove")
    work_off(running.id)
    deployments.give_up(portal, TEST, running.id, REASON)
    assert deployments.mine(portal, jane) == []
    assert held(portal) == []


def test_what_still_runs_on_a_vm_that_comes_back_is_stopped_before_it_takes_anything(
    portal: Portal, jane: User, engine: FakeEngine, gpu_vm: Vm, work_off: WorkOff
) -> None:
    made = work_off(deployments.request(portal, jane, Order("ml-cpu", "gpu", gpus=1)).id)
    lose(portal, engine)
    deployments.remove_lost_vm(portal, TEST, "vm-01", REASON)
    engine.failing.clear()
    vms.add(portal, TEST, "vm-01", "unix:///var/run/docker.sock", "10.0.0.1")
    observe(portal, recorded(portal), engine)
    assert not recorded(portal).reachable
    assert made.id in (recorded(portal).error or "")
    stopped = work_off(made.id)
    observe(portal, recorded(portal), engine)
    assert (recorded(portal).reachable, stopped.state) == (True, State.STOPPED)
    assert (stopped.stop_reason, stopped.stop_note) == (StopReason.VM_LOST, REASON)


@pytest.fixture
def left(
    portal: Portal, jane: User, engine: FakeEngine, gpu_vm: Vm, work_off: WorkOff
) -> Deployment:
    """A deployment that failed, and whose container could not be removed."""
    for step in ("start", "remove"):
        engine.failing[step] = EngineError("engine_refused", "It refuses.")
    made = work_off(deployments.request(portal, jane, Order("ml-cpu", "gpu", gpus=1)).id)
    engine.failing.clear()
    assert held(portal) == [f"gpu:{made.id}"]
    return made


def test_what_may_still_use_its_gpus_does_not_start_again_before_it_is_gone(
    portal: Portal, jane: User, engine: FakeEngine, left: Deployment, work_off: WorkOff
) -> None:
    with pytest.raises(Conflict) as refused:
        deployments.act(portal, jane, left.id, "start")
    assert refused.value.code == "container_left"
    observe(portal, recorded(portal), engine)
    deployments.act(portal, jane, left.id, "start")
    assert work_off(left.id).state is State.RUNNING


def test_a_look_gives_back_only_what_was_held_before_it(
    portal: Portal,
    jane: User,
    engine: FakeEngine,
    left: Deployment,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another look is faster, and its owner starts it again, while this one is under way."""
    containers = engine.containers

    def slow(_expected: object) -> list[ContainerStatus]:
        monkeypatch.setattr(engine, "containers", containers)
        observe(portal, recorded(portal), engine)
        deployments.act(portal, jane, left.id, "start")
        return []

    monkeypatch.setattr(engine, "containers", slow)
    observe(portal, recorded(portal), engine)
    assert f"gpu:{left.id}" in held(portal)


def test_what_is_not_given_back_yet_is_not_shown_as_free(
    portal: Portal, jane: User, engine: FakeEngine, left: Deployment
) -> None:
    holds = sorted(each.hold for each in gpus.overview(portal, jane))
    assert holds == [gpus.Hold.FREE, gpus.Hold.TAKEN]
    observe(portal, recorded(portal), engine)
    assert {each.hold for each in gpus.overview(portal, jane)} == {gpus.Hold.FREE}


def test_a_vm_that_is_removed_holds_no_gpus(portal: Portal, left: Deployment) -> None:
    vms.remove(portal, TEST, "vm-01")
    assert held(portal) == []


def test_a_stop_that_fails_in_a_way_that_nobody_foresaw_can_be_given_up(
    portal: Portal, jane: User, running: Deployment, clock: FakeClock
) -> None:
    deployments.act(portal, jane, running.id, "stop")

    class Broken(FakeEngine):
        def stop(self, container_id: str, grace_s: int) -> None:
            raise KeyError("Id")

    broken = Broken()
    worker = Reconciler(portal, lambda vm: broken, lambda vm, port: True, lambda release: None)
    for _ in range(TRIES):
        for job in worker.dispatch():
            job.result(10)
        clock.forward(portal.settings.lock_ttl_s + 1)
    assert [each.id for each in deployments.stuck(portal, TEST)] == [running.id]
    deployments.give_up(portal, TEST, running.id, REASON)
    assert deployments.get(portal, jane, running.id).state is State.FAILED


def test_an_administrator_sees_stopped_ones_when_they_ask(
    portal: Portal, jane: User, running: Deployment, work_off: WorkOff
) -> None:
    deployments.act(portal, jane, running.id, "stop")
    work_off(running.id)
    assert deployments.everybody(portal, TEST) == []
    assert [each.id for each in deployments.everybody(portal, TEST, stopped=True)] == [running.id]
    with pytest.raises(Forbidden):
        deployments.everybody(portal, jane, stopped=True)


def test_logs_of_others_are_read_by_setting_alone_and_the_owner_reads_by_whom(
    portal: Portal, jane: User, running: Deployment
) -> None:
    with pytest.raises(Forbidden, match="are theirs"):
        deployments.log_of(portal, TEST, running.id, "it asked for help")
    settings = portal.settings.model_copy(update={"admins_read_logs": True})
    asking = replace(portal, settings=settings)
    with pytest.raises(Invalid):
        deployments.log_of(asking, TEST, running.id, "")
    with pytest.raises(Forbidden):
        deployments.log_of(asking, jane, running.id, "mine")
    assert deployments.log_of(asking, TEST, running.id, "it asked for help").id == running.id
    latest = deployments.past(portal, jane, running.id)[0]
    assert (latest.action, latest.details["reason"]) == (
        "deployment.log_read",
        "it asked for help",
    )
