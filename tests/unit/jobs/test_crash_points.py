"""The worker dies between any two steps of any work; its follower finishes, and nothing is lost.

The steps are not listed: every call of the engine and every transaction of a scenario is counted,
and the scenario is run once for each, dying there, before the call and after it. `make faults`
walks all of them, `make test` every fifth.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from typing import Any

import pytest
from portal import db, deployments
from portal.context import Portal
from portal.core.models import Deployment, Order, State, Vm
from portal.core.people import User
from portal.jobs import leader
from portal.jobs.claim import Work
from portal.jobs.leader import Leader
from portal.jobs.observe import observe
from portal.jobs.start_stop import converge
from portal.scheduling import admission
from support.fakes import FakeClock, FakeEngine

CALLS = ("has_image", "pull", "inspect", "create", "start", "stop", "remove", "containers", "info")
MOST_STEPS = 200
EVERY = 1 if os.environ.get("PORTAL_FAULTS") == "all" else 5
UNSETTLED = (State.PENDING, State.PULLING, State.STARTING, State.STOPPING, State.REMOVING)


class Killed(BaseException):
    """kill -9: nothing of this process goes on."""


class Killer:
    """Dies at one step; `at` 0 never does. Each call is two steps: before it, and after it."""

    def __init__(self, at: int) -> None:
        self.at, self.step, self.armed = at, 0, True

    def tick(self) -> None:
        if not self.armed:
            return
        self.step += 1
        if self.step == self.at:
            raise Killed

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def deadly(*arguments: Any, **named: Any) -> Any:
            self.tick()
            result = call(*arguments, **named)
            self.tick()
            return result

        return deadly


@pytest.fixture
def kill(
    portal: Portal, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> Callable[[int], Killer]:
    """Let the worker die at a step, from now on."""
    monkeypatch.setattr(leader, "RENEW_S", 0.0)
    real = portal.database.transaction

    def arm(at: int) -> Killer:
        killer = Killer(at)
        for name in CALLS:
            monkeypatch.setattr(
                engine, name, killer.around(getattr(FakeEngine, name).__get__(engine))
            )

        @contextmanager
        def transaction() -> Iterator[db.Tx]:
            killer.tick()
            with real() as tx:
                yield tx
            killer.tick()

        monkeypatch.setattr(portal.database, "transaction", transaction)
        return killer

    return arm


def work_on(portal: Portal, engine: FakeEngine) -> None:
    """What one worker does until nothing is left to do."""
    lead = Leader(portal)
    assert lead.renew()
    for _ in range(MOST_STEPS):
        with portal.database.reading() as tx:
            [vm] = db.vms.all_vms(tx)
        observe(portal, vm, engine)
        with portal.database.transaction() as tx:
            admission.advance(portal, tx)
        with portal.database.reading() as tx:
            due = db.deployments.workable(tx, UNSETTLED, portal.now())
        if not due:
            return
        for deployment_id, _, _ in due:
            work = Work.claim(portal, deployment_id)
            if work:
                converge(work, engine, lambda vm, port: True, lambda release: None)
    raise AssertionError("it never ends")


def troubles(portal: Portal, engine: FakeEngine, *owners: User) -> list[str]:
    """What does not agree: rows, leases, containers, GPUs in containers, claims, the chain."""
    found = []
    with portal.database.reading() as tx:
        mine = (db.deployments.of_user(tx, user.id) for user in owners)
        rows = {each.id: each for each in chain.from_iterable(mine)}
        leases = db.leases.live(tx)
        if db.deployments.workable(tx, UNSETTLED, portal.now()):
            found.append("work is left")
        if db.audit.verify(tx).broken_at is not None:
            found.append("the chain is broken")
    runs = {
        box.spec.labels["org.container-portal.deployment"]
        for box in engine.boxes.values()
        if box.running
    }
    running = {key for key, row in rows.items() if row.state is State.RUNNING}
    if runs != running:
        found.append(f"runs {runs}, should run {running}")
    if gone := {box.spec.name for box in engine.boxes.values()} - {f"portal-{key}" for key in rows}:
        found.append(f"orphans {gone}")
    for lease in leases:
        row = rows.get(lease["deployment_id"])
        kept = row is not None and (row.state is State.RUNNING or lease["kind"] == db.leases.PORT)
        if not kept:
            found.append(f"leaked {lease['kind']} of {row.state if row else 'nobody'}")
    for key in running:
        kinds = {lease["kind"] for lease in leases if lease["deployment_id"] == key}
        if kinds != {"port", "gpu", "compute"}:
            found.append(f"{key} holds {kinds}")
        if engine.boxes[f"portal-{key}"].spec.gpus != rows[key].gpu_uuids:
            found.append(f"{key} runs with other GPUs than it holds")
    return found


def order(portal: Portal, jane: User) -> Deployment:
    return deployments.request(portal, jane, Order("ml-cpu", "first", gpus=1))


SCENARIOS: dict[str, tuple[tuple[str, ...], str]] = {
    "deploy": ((), ""),
    "stop": (("done",), "stop"),
    "start": (("done", "stop", "done"), "start"),
    "restart": (("done",), "restart"),
    "remove": (("done",), "remove"),
}
"""What is done before, undisturbed, and what is asked for then."""


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_worker_that_dies_at_any_step_is_followed_and_nothing_is_lost(
    portal: Portal,
    jane: User,
    engine: FakeEngine,
    clock: FakeClock,
    gpu_vm: Vm,
    kill: Callable[[int], Killer],
    scenario: str,
) -> None:
    before, action = SCENARIOS[scenario]
    at, died = 1 - EVERY, 0
    while True:
        at += EVERY
        made = order(portal, jane)
        for step in before:
            if step == "done":
                clock.forward(60)
                work_on(portal, engine)
            else:
                deployments.act(portal, jane, made.id, step)
        if action:
            deployments.act(portal, jane, made.id, action)
        clock.forward(60)  # whoever led before is gone
        killer = kill(at)
        try:
            work_on(portal, engine)
        except Killed:
            died += 1
        killer.armed = False
        clock.forward(60)
        work_on(portal, engine)
        assert troubles(portal, engine, jane) == [], f"died at step {at} of {scenario}"
        for left in deployments.mine(portal, jane):
            deployments.act(portal, jane, left.id, "remove")
        clock.forward(60)
        work_on(portal, engine)
        assert engine.boxes == {}
        engine.on_disk.clear()
        if killer.step < at:
            break  # it went through without reaching the step
    assert died >= 15 / EVERY, "steps were not counted"


def test_who_waited_is_served_once_wherever_the_worker_dies_as_the_queue_moves(
    portal: Portal,
    jane: User,
    john: User,
    engine: FakeEngine,
    clock: FakeClock,
    gpu_vm: Vm,
    kill: Callable[[int], Killer],
) -> None:
    at = 1 - EVERY
    while True:
        at += EVERY
        first = deployments.request(portal, jane, Order("ml-cpu", "first", gpus=2))
        clock.forward(60)
        work_on(portal, engine)
        waits = deployments.request(portal, john, Order("ml-cpu", "waits", gpus=2))
        assert waits.state is State.WAITING
        deployments.act(portal, jane, first.id, "stop")
        clock.forward(60)
        killer = kill(at)
        with suppress(Killed):
            work_on(portal, engine)
        killer.armed = False
        clock.forward(60)
        work_on(portal, engine)
        served = deployments.get(portal, john, waits.id)
        assert served.state is State.RUNNING, f"died at step {at}"
        assert troubles(portal, engine, jane, john) == [], f"died at step {at}"
        for owner, each in ((jane, first), (john, waits)):
            deployments.act(portal, owner, each.id, "remove")
        clock.forward(60)
        work_on(portal, engine)
        assert engine.boxes == {}
        if killer.step < at:
            break
