from __future__ import annotations

from collections.abc import Callable

import pytest
from fakes import FakeEngine
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from portal import audit, deployments, lifecycle, store
from portal.context import Portal
from portal.errors import Conflict
from portal.models import Deployment, Order, State, User

WorkOff = Callable[..., Deployment]


def test_every_transition_leads_to_a_known_state_and_removed_is_final() -> None:
    assert set(lifecycle.TRANSITIONS) == set(State)
    assert lifecycle.TRANSITIONS[State.REMOVED] == frozenset()
    assert all(State.FAILED in lifecycle.TRANSITIONS[s] for s in lifecycle.ACTIVE)


@pytest.mark.parametrize("action", lifecycle.USER_ACTIONS)
def test_what_a_person_may_ask_for_is_an_allowed_transition(action: str) -> None:
    before, after = lifecycle.USER_ACTIONS[action]
    assert all(after in lifecycle.TRANSITIONS[state] for state in before)


def test_an_impossible_wish_says_what_is_possible() -> None:
    with pytest.raises(Conflict, match="cannot start") as refused:
        lifecycle.intent("start", State.RUNNING)
    assert refused.value.hint == "Now possible: stop, restart, remove."


def test_any_sequence_of_wishes_and_outcomes_keeps_the_records_whole(
    portal: Portal, jane: User, engine: FakeEngine, work_off: WorkOff
) -> None:
    """A model: random wishes, worker runs that succeed or fail; after each the invariants hold."""

    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            for old in deployments.mine(portal, jane):
                deployments.act(portal, jane, old.id, "remove")
                work_off(old.id)
            self.id = deployments.request(portal, jane, Order("ml-cpu", "model")).id

        def _wish(self, action: str) -> None:
            before = self.now().state
            try:
                deployments.act(portal, jane, self.id, action)
            except Conflict:
                assert before not in lifecycle.USER_ACTIONS[action][0]
                assert self.now().state is before

        def now(self) -> Deployment:
            with portal.store.reading() as tx:
                found = store.deployment(tx, self.id)
            assert found
            return found

        @rule()
        def stop(self) -> None:
            self._wish("stop")

        @rule()
        def start(self) -> None:
            self._wish("start")

        @rule()
        def restart(self) -> None:
            self._wish("restart")

        @rule()
        def work_succeeds(self) -> None:
            work_off(self.id)

        @rule()
        def work_fails(self) -> None:
            work_off(self.id, ready=False)

        @invariant()
        def leases_are_held_exactly_while_there_is_something_to_open(self) -> None:
            now = self.now()
            with portal.store.reading() as tx:
                held = [row for row in store.live_leases(tx) if row["deployment_id"] == self.id]
            assert len(held) == (0 if now.state in (State.FAILED, State.REMOVED) else 2)

        @invariant()
        def the_newest_audit_event_tells_the_state_and_the_chain_holds(self) -> None:
            with portal.store.reading() as tx:
                last = audit.events(tx, f"deployment:{self.id}")[-1]
                assert audit.verify(tx).broken_at is None
            assert last.action == f"deployment.{self.now().state}"

        @invariant()
        def a_container_runs_exactly_while_running(self) -> None:
            box = engine.boxes.get(f"portal-{self.id}")
            if self.now().state is State.RUNNING:
                assert box and box.running
            if self.now().state in (State.STOPPED, State.FAILED, State.REMOVED):
                assert box is None or not box.running

    portal_settings = portal.settings.model_copy(update={"ready_timeout_s": 0.01})
    object.__setattr__(portal, "settings", portal_settings)
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        Machine, settings=hypothesis_settings(max_examples=15, stateful_step_count=12, deadline=None)
    )
