"""kill -9 of the worker between any two steps of any work: its follower finishes, nothing is lost.

The steps are not listed: every call of the engine and every transaction of a scenario is counted,
and the scenario is run once for each, in a process that dies there, before the call and after it.
`make faults` walks all of them, `make test` every fifth.
"""

from __future__ import annotations

import io
import itertools
import os
import pickle
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any, NoReturn

import pytest
from portal import db, deployments
from portal.context import Portal
from portal.core.models import Deployment, Order, State, Vm
from portal.core.people import User
from portal.db.connection import Database
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


def until_killed(portal: Portal, engine: FakeEngine, at: int) -> int:
    """Let a process of its own work, killed (-9) at a step; how many steps it came.

    Each call is two steps: before it, and after it. The engine lives on: what became of it is the
    last that is heard of the process. The records are what it left in its file.
    """
    portal.database.close()  # of SQLite, no connection may be open across a fork
    came, tells = os.pipe()
    child = os.fork()
    if child == 0:
        with os.fdopen(tells, "wb") as last_words:
            _work_and_die(portal, engine, at, last_words)
    os.close(tells)
    with os.fdopen(came, "rb") as heard:
        said = heard.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, -signal.SIGKILL), f"step {at}: exit {code}"
    step, left = pickle.loads(said)
    vars(engine).update(left)
    assert step == at or code == 0
    return int(step)


def _work_and_die(
    portal: Portal, engine: FakeEngine, at: int, last_words: io.BufferedWriter
) -> NoReturn:
    step = 0

    def tell() -> None:
        state = {each.name: getattr(engine, each.name) for each in fields(FakeEngine)}
        pickle.dump((step, state), last_words)
        last_words.flush()

    def tick() -> None:
        nonlocal step
        step += 1
        if step == at:
            tell()
            os.kill(os.getpid(), signal.SIGKILL)

    def deadly(call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **named: Any) -> Any:
            tick()
            result = call(*arguments, **named)
            tick()
            return result

        return called

    try:
        mortal = replace(portal, database=Database(portal.settings.database_url))
        real = mortal.database.transaction

        @contextmanager
        def transaction() -> Iterator[db.Tx]:
            tick()
            with real() as tx:
                yield tx
            tick()

        mortal.database.transaction = transaction  # type: ignore[method-assign]
        for name in CALLS:
            setattr(engine, name, deadly(getattr(engine, name)))
        work_on(mortal, engine)
        tell()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


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
        rows = {each.id: each for each in itertools.chain.from_iterable(mine)}
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


@pytest.fixture(autouse=True)
def _a_leader_renews_at_every_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leader, "RENEW_S", 0.0)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_worker_that_dies_at_any_step_is_followed_and_nothing_is_lost(
    portal: Portal, jane: User, engine: FakeEngine, clock: FakeClock, gpu_vm: Vm, scenario: str
) -> None:
    before, action = SCENARIOS[scenario]
    died = 0
    for at in itertools.count(1, EVERY):
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
        came = until_killed(portal, engine, at)
        clock.forward(60)
        work_on(portal, engine)
        assert troubles(portal, engine, jane) == [], f"died at step {at} of {scenario}"
        for left in deployments.mine(portal, jane):
            deployments.act(portal, jane, left.id, "remove")
        clock.forward(60)
        work_on(portal, engine)
        assert engine.boxes == {}
        engine.on_disk.clear()
        if came < at:
            break  # it went through without reaching the step
        died += 1
    assert died >= 15 / EVERY, "steps were not counted"


def test_who_waited_is_served_once_wherever_the_worker_dies_as_the_queue_moves(
    portal: Portal, jane: User, john: User, engine: FakeEngine, clock: FakeClock, gpu_vm: Vm
) -> None:
    for at in itertools.count(1, EVERY):
        first = deployments.request(portal, jane, Order("ml-cpu", "first", gpus=2))
        clock.forward(60)
        work_on(portal, engine)
        waits = deployments.request(portal, john, Order("ml-cpu", "waits", gpus=2))
        assert waits.state is State.WAITING
        deployments.act(portal, jane, first.id, "stop")
        clock.forward(60)
        came = until_killed(portal, engine, at)
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
        if came < at:
            break
