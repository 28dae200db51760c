"""Which state may follow which, and what each means to the person looking at it."""

from __future__ import annotations

from portal.core.errors import Conflict
from portal.core.models import State

WORK = frozenset({State.PENDING, State.PULLING, State.STARTING, State.STOPPING, State.REMOVING})
"""States in which the worker has something to do."""

COMING_UP = frozenset({State.PENDING, State.PULLING, State.STARTING})
"""States on the way to a notebook."""

ENDING = frozenset({State.STOPPING, State.REMOVING})
"""States on the way to no container."""

UNSETTLED = WORK | {State.WAITING}
"""States that will change without anybody asking."""

TRANSITIONS: dict[State, frozenset[State]] = {
    State.WAITING: frozenset(
        {State.PENDING, State.STOPPED, State.REMOVING, State.REMOVED, State.FAILED}
    ),
    State.PENDING: frozenset(
        {State.PULLING, State.STOPPING, State.STOPPED, State.REMOVING, State.FAILED}
    ),
    State.PULLING: frozenset(
        {State.STARTING, State.STOPPING, State.STOPPED, State.REMOVING, State.FAILED}
    ),
    State.STARTING: frozenset(
        {State.RUNNING, State.STOPPING, State.STOPPED, State.REMOVING, State.FAILED}
    ),
    State.RUNNING: frozenset(
        {State.PENDING, State.STOPPING, State.STOPPED, State.REMOVING, State.FAILED}
    ),
    State.STOPPING: frozenset(
        {State.STOPPING, State.STOPPED, State.PENDING, State.REMOVING, State.FAILED}
    ),
    State.STOPPED: frozenset(
        {State.PENDING, State.WAITING, State.STOPPING, State.REMOVING, State.REMOVED}
    ),
    State.FAILED: frozenset({State.PENDING, State.WAITING, State.REMOVING, State.REMOVED}),
    State.REMOVING: frozenset({State.REMOVED}),
    State.REMOVED: frozenset(),
}
"""Running → pending: its VM was restarted. On the way up → stopped: its VM was given up. Stopped →
stopping: somebody started it on the VM by hand. Stopping → stopping: a restart became a stop.
"""

USER_ACTIONS: dict[str, tuple[frozenset[State], State]] = {
    "stop": (
        frozenset({State.WAITING, State.PENDING, State.PULLING, State.STARTING, State.RUNNING}),
        State.STOPPING,
    ),
    "start": (frozenset({State.STOPPED, State.FAILED}), State.PENDING),
    "restart": (frozenset({State.RUNNING}), State.STOPPING),
    "remove": (frozenset(State) - {State.REMOVING, State.REMOVED}, State.REMOVING),
}
"""What a person may ask for: from which states, and the state that records the intent."""


def check(before: State, after: State) -> None:
    """Raise Conflict unless `after` may follow `before`."""
    if after not in TRANSITIONS[before]:
        raise Conflict(
            "wrong_state",
            f"A container that is {before} cannot become {after}.",
            "Reload the page to see its current state.",
        )


def is_possible(action: str, before: State, *, restarting: bool) -> bool:
    """Whether a person may ask for this now. A restart that still stops can become a stop."""
    if action == "stop" and restarting and before is State.STOPPING:
        return True
    return before in USER_ACTIONS[action][0]


def intent(action: str, before: State, *, restarting: bool = False) -> State:
    """The state that records a user's action, or Conflict with what is possible instead."""
    after = USER_ACTIONS[action][1]
    if not is_possible(action, before, restarting=restarting):
        possible = [
            name for name in USER_ACTIONS if is_possible(name, before, restarting=restarting)
        ]
        hint = f"Now possible: {', '.join(possible)}." if possible else "It is being removed."
        raise Conflict("wrong_state", f"The container is {before}; you cannot {action} it.", hint)
    # What waits has no container that could take time to stop.
    return State.STOPPED if (before, after) == (State.WAITING, State.STOPPING) else after
