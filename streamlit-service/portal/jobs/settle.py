"""What a look at a VM means for a deployment: ended, to start again, paused, or unwanted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from portal import db
from portal.context import Portal
from portal.core.engine import ContainerStatus, Engine
from portal.core.models import Deployment, State, StopReason, Trouble
from portal.db import Tx
from portal.db.columns import DeploymentColumns
from portal.deployments.transition import change
from portal.images import launch_gate

WORKER = "worker"
PAUSED = "paused"
KILLED_BY_SIGNAL = 137
FROM_OUTSIDE = (0, KILLED_BY_SIGNAL, 143)
"""How a program ends that was asked to, or killed, as a shutdown does; its own failures differ."""
LOST = 255
"""The engine's word for a container that it finds dead when it starts; programs end so, too."""
MANY_RESTARTS, MANY_RESTARTS_WITHIN = 3, timedelta(hours=1)
"""What ended so often with its VM may be what ends the VM: it waits for its owner."""
AGAIN_AFTER = timedelta(hours=1)


@dataclass(frozen=True)
class Seen:
    """What a look saw of a deployment: its container, and when something in it was killed."""

    status: ContainerStatus | None
    killed_at: datetime | None = None


def settle(portal: Portal, deployment: Deployment, seen: Seen, engine: Engine) -> None:
    """Record what differs between a deployment and its container. Raises EngineError."""
    status = seen.status
    runs = status is not None and status.running
    if deployment.state is State.RUNNING and not runs:
        _ended(portal, deployment, status, engine)
    elif deployment.state is State.RUNNING and status is not None:
        _note(portal, deployment, status, seen.killed_at)
    elif deployment.state is State.STOPPED and runs:
        _stop_again(portal, deployment)


def _ended(
    portal: Portal, deployment: Deployment, status: ContainerStatus | None, engine: Engine
) -> None:
    """Record why it ended. What a restart of its VM ended starts again, with all that it holds."""
    now, reason = portal.now(), _reason(status, engine)
    code = status.exit_code if status else None
    columns: DeploymentColumns = {"stop_reason": reason, "stop_note": None}
    lost = reason is StopReason.VM_RESTARTED
    why_not = _why_not_again(portal, deployment) if lost else ""
    if lost and not why_not:
        after = State.PENDING
        columns["pending_since"] = now
    else:
        after = State.STOPPED
        columns |= {"stopped_at": now, "gpu_uuids": None}
        columns["stop_note"] = why_not or None
    with _unchanged(portal, deployment) as tx:
        if tx is None:
            return
        details = {"stop_reason": reason, "exit_code": code}
        change(tx, now, WORKER, deployment, after, details, **columns)
        if after is State.STOPPED:
            db.leases.release(tx, deployment.id, now, db.leases.RUN)
    portal.wake()  # it is to start, or somebody may wait for what it held


def _reason(status: ContainerStatus | None, engine: Engine) -> StopReason:
    if status is None:
        return StopReason.CONTAINER_GONE
    if ended_with_vm(status, engine):
        return StopReason.VM_RESTARTED
    # The engine's mark stays when a kernel was killed and the server lived on: its end has another.
    if status.out_of_memory and status.exit_code == KILLED_BY_SIGNAL:
        return StopReason.OUT_OF_MEMORY
    return StopReason.EXIT_CODE


def ended_with_vm(status: ContainerStatus, engine: Engine) -> bool:
    """Whether a container that ended did so because its VM or the engine restarted."""
    engine_start = engine.started_at()
    if status.exit_code == LOST:
        # Unless it began and ended while the engine ran: then it is the program's own. Whatever
        # else the clocks say, they may have been wrong at the start.
        ran = (engine_start, status.started_at, status.finished_at)
        return not (ran[0] and ran[1] and ran[2] and ran[0] < ran[1] <= ran[2])
    if engine_start is None or status.started_at is None:
        return False
    if status.exit_code not in FROM_OUTSIDE:
        return False  # it had ended before, while nobody looked
    now = engine.info().at
    if now is not None and engine_start > now:
        return False  # its clock was set back since then: the two cannot be compared
    return status.started_at < engine_start


def _why_not_again(portal: Portal, deployment: Deployment) -> str:
    """Why what ended with its VM does not start by itself; "" where it does."""
    now = portal.now()
    if not portal.settings.restart_after_vm_restart:
        return "The portal is set not to start containers automatically."
    with portal.database.reading() as tx:
        events = db.audit.events(tx, f"deployment:{deployment.id}")
    ended_with_it = [
        event
        for event in events
        if event.details.get("stop_reason") == StopReason.VM_RESTARTED
        and now - event.at < MANY_RESTARTS_WITHIN
    ]
    if len(ended_with_it) >= MANY_RESTARTS:
        return f"This has happened more than {MANY_RESTARTS} times in an hour: start it yourself."
    return launch_gate.problem(portal.settings, deployment.release, now)


def _note(
    portal: Portal, deployment: Deployment, status: ContainerStatus, killed_at: datetime | None
) -> None:
    """Tell its owner what is wrong inside while it runs; a pause until it is over."""
    noted = deployment.trouble.code if deployment.trouble else ""
    if status.paused and noted != PAUSED:
        trouble: Trouble | None = Trouble(
            "paused",
            "The container is paused on its VM and does not respond.",
            "Restart it, or ask your administrator to have it unpaused.",
            portal.now(),
        )
    elif killed_at is not None:
        trouble = Trouble(
            "killed_for_memory",
            f"A process used up all {deployment.memory_gb:g} GB and was killed: a notebook's"
            " kernel, most likely.",
            "Your files are safe. Use less memory at a time, or deploy again with more.",
            killed_at,
        )
    elif noted == PAUSED and not status.paused:
        trouble = None
    else:
        return
    with _unchanged(portal, deployment) as tx:
        if tx is not None:
            stored = db.rows.stored(trouble) if trouble else None
            db.deployments.update(tx, deployment.id, trouble=stored)
            if trouble and _is_news(deployment.trouble, trouble):
                about = f"deployment:{deployment.id}"
                db.audit.append(tx, portal.now(), WORKER, f"deployment.{trouble.code}", about)


def _is_news(before: Trouble | None, trouble: Trouble) -> bool:
    """What is killed again and again is one event an hour."""
    if before is None or before.code != trouble.code:
        return True
    return trouble.since - before.since >= AGAIN_AFTER


def _stop_again(portal: Portal, deployment: Deployment) -> None:
    """Somebody started it on the VM, or the VM was lost and is back: it holds nothing any more."""
    lost = deployment.stop_reason is StopReason.VM_LOST
    reason = StopReason.VM_LOST if lost else StopReason.NOT_WANTED
    columns: DeploymentColumns = {"stop_reason": reason}
    if not lost:
        columns["stop_note"] = None
    with _unchanged(portal, deployment) as tx:
        if tx is not None:
            details = {"stop_reason": reason}
            change(tx, portal.now(), WORKER, deployment, State.STOPPING, details, **columns)
    portal.wake()


@contextmanager
def _unchanged(portal: Portal, seen: Deployment) -> Iterator[Tx | None]:
    """A transaction, while the deployment is as it was seen; else None: the next look will see."""
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        current = db.deployments.by_id(tx, seen.id)
        same = current is not None and (current.state, current.updated_at) == (
            seen.state,
            seen.updated_at,
        )
        yield tx if same else None
