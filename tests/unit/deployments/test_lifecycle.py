from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from portal import db, deployments
from portal.context import Portal
from portal.core.errors import Conflict, NotFound
from portal.core.models import Deployment, Order, State
from portal.core.people import User
from portal.deployments import lifecycle
from support.fakes import FakeEngine

WorkOff = Callable[..., Deployment]


def test_every_transition_leads_to_a_known_state_and_removed_is_final() -> None:
    assert set(lifecycle.TRANSITIONS) == set(State)
    assert lifecycle.TRANSITIONS[State.REMOVED] == frozenset()
    assert all(State.FAILED in lifecycle.TRANSITIONS[s] for s in lifecycle.WORK - {State.REMOVING})


@pytest.mark.parametrize("action", lifecycle.USER_ACTIONS)
def test_what_a_person_may_ask_for_is_an_allowed_transition(action: str) -> None:
    before, _ = lifecycle.USER_ACTIONS[action]
    assert all(lifecycle.intent(action, state) in lifecycle.TRANSITIONS[state] for state in before)


def test_an_impossible_wish_says_what_is_possible() -> None:
    with pytest.raises(Conflict, match="cannot start") as refused:
        lifecycle.intent("start", State.RUNNING)
    assert refused.value.hint == "Now possible: stop, restart, remove."


@dataclass
class Model:
    """What the model plays with."""

    portal: Portal
    user: User
    engine: FakeEngine
    work_off: WorkOff


class Actions(RuleBasedStateMachine):
    """Random requests, and worker runs that succeed or fail; after each the invariants hold."""

    model: ClassVar[Model]

    def __init__(self) -> None:
        super().__init__()
        for old in deployments.mine(self.model.portal, self.model.user):
            if old.state is not State.REMOVING:
                deployments.act(self.model.portal, self.model.user, old.id, "remove")
            self.model.work_off(old.id)
        self.id = deployments.request(
            self.model.portal, self.model.user, Order("ml-cpu", "model")
        ).id

    def now(self) -> Deployment:
        with self.model.portal.database.reading() as tx:
            deployment = db.deployments.by_id(tx, self.id)
        assert deployment
        return deployment

    @rule(action=st.sampled_from(["stop", "start", "restart", "remove"]))
    def request_action(self, action: str) -> None:
        before = self.now().state
        try:
            deployments.act(self.model.portal, self.model.user, self.id, action)
        except (Conflict, NotFound):  # what was removed is not found
            assert before not in lifecycle.USER_ACTIONS[action][0]
            assert self.now().state is before

    @rule(ready=st.booleans())
    def work(self, ready: bool) -> None:
        self.model.work_off(self.id, ready=ready)

    @invariant()
    def leases_are_held_exactly_while_there_is_something_to_open(self) -> None:
        now = self.now()
        with self.model.portal.database.reading() as tx:
            held = [row for row in db.leases.live(tx) if row["deployment_id"] == self.id]
        kinds = {row["kind"] for row in held}
        if now.state is State.REMOVING:  # what failed or stopped before has given back already
            assert kinds <= {"port", "compute"}
        elif now.state in (State.FAILED, State.REMOVED):
            assert kinds == set()
        else:
            assert kinds == ({"port"} if now.state is State.STOPPED else {"port", "compute"})

    @invariant()
    def the_newest_audit_event_tells_the_state(self) -> None:
        with self.model.portal.database.reading() as tx:
            last = db.audit.events(tx, f"deployment:{self.id}")[-1]
        assert last.action == f"deployment.{self.now().state}"

    @invariant()
    def a_container_runs_exactly_while_running(self) -> None:
        box = self.model.engine.boxes.get(f"portal-{self.id}")
        if self.now().state is State.RUNNING:
            assert box and box.running
        if self.now().state in (State.STOPPED, State.FAILED, State.REMOVED):
            assert box is None or not box.running

    def teardown(self) -> None:
        """At the end the whole chain of events holds; it grows with every example."""
        with self.model.portal.database.reading() as tx:
            assert db.audit.verify(tx).broken_at is None


def test_any_sequence_of_requests_and_outcomes_keeps_the_records_whole(
    portal: Portal, jane: User, engine: FakeEngine, work_off: WorkOff
) -> None:
    quick = replace(portal, settings=portal.settings.model_copy(update={"ready_timeout_s": 0.01}))
    Actions.model = Model(quick, jane, engine, work_off)
    run_state_machine_as_test(
        Actions,
        settings=hypothesis_settings(max_examples=15, stateful_step_count=12, deadline=None),
    )
