"""A change of a deployment's state by somebody without its claim, with the audit event."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Unpack

from portal import db
from portal.core.models import Deployment, State, VmState
from portal.db import Tx
from portal.db.columns import UNLOCKED, DeploymentColumns
from portal.deployments import lifecycle


def removal(tx: Tx, now: datetime, before: Deployment) -> tuple[State, DeploymentColumns]:
    """The state and columns of a removal that is asked for.

    Where nothing can run there is nothing for the worker to do: it is over at once.
    """
    if before.vm is not None and before.vm.state is not VmState.REMOVED:
        return State.REMOVING, {}
    db.leases.release(tx, before.id, now)
    return State.REMOVED, {"slot": None}


def change(
    tx: Tx,
    now: datetime,
    who: str,
    before: Deployment,
    after: State,
    details: dict[str, Any],
    **columns: Unpack[DeploymentColumns],
) -> None:
    """Whoever works on it drops it at the next write. Conflict when the state may not follow."""
    lifecycle.check(before.state, after)
    changes: DeploymentColumns = {
        "trouble": None,
        **columns,
        **UNLOCKED,
        "state": after,
        "updated_at": now,
    }
    db.deployments.update(tx, before.id, **changes)
    said = details | db.audit.changed({"state": before.state}, {"state": after})
    db.audit.append(tx, now, who, f"deployment.{after}", f"deployment:{before.id}", **said)
