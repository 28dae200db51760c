"""What becomes of somebody's containers when an administrator disables or retires the account."""

from __future__ import annotations

from portal import db, users
from portal.context import Portal
from portal.core.models import Deployment, State
from portal.core.people import Actor
from portal.core.reasons import check_reason
from portal.db import Tx
from portal.db.columns import NOT_WAITING, DeploymentColumns
from portal.deployments import intervention, lifecycle
from portal.deployments.transition import change, removal
from portal.users import accounts, permissions

LEFT = "moved to another department."
"""What a reason may be, for who gave none."""


def disable(
    portal: Portal, actor: Actor, subject: str, reason: str, *, stop: bool = False
) -> list[Deployment]:
    """Keep somebody out from now on, with all that they have open.

    Their containers go on, and nobody else can use them; or, where asked, those that run are
    stopped, too. What waits in the queue is taken out of it in any case. Returned is what stops.
    """
    who, note = permissions.administrator(actor), check_reason(reason, LEFT)
    stopped = []
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        user = users.known(tx, subject)
        permissions.check_another(actor, user)
        accounts.disable(portal, tx, who, user, note)
        for each in db.deployments.of_user(tx, user.id):
            again = each.restart_after_stop
            ends = stop or each.state is State.WAITING
            if ends and lifecycle.is_possible("stop", each.state, restarting=again):
                stopped.append(intervention.ask_to_stop(portal, tx, who, each, note))
    portal.wake()
    return stopped


def stop_of_left(portal: Portal) -> list[Deployment]:
    """Stop what runs of people whom the directory disabled: it was set to."""
    stopped = []
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        for user in db.users.disabled_by(tx, accounts.BY_DIRECTORY):
            for each in db.deployments.of_user(tx, user.id):
                again = each.restart_after_stop
                if lifecycle.is_possible("stop", each.state, restarting=again):
                    note = "you are no longer in the organisation's directory."
                    who = accounts.BY_DIRECTORY
                    stopped.append(intervention.ask_to_stop(portal, tx, who, each, note))
    if stopped:
        portal.wake()
    return stopped


def retire(portal: Portal, actor: Actor, subject: str, reason: str) -> list[Deployment]:
    """Somebody has left: no way in from now on, and their containers, returned, are removed.

    Home folders stay on their VMs. The range of ports goes to others once all are gone.
    """
    who, note = permissions.administrator(actor), check_reason(reason, LEFT)
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        user = users.known(tx, subject)
        permissions.check_another(actor, user)
        accounts.retire(portal, tx, who, user, note)
        theirs = db.deployments.of_user(tx, user.id)
        for before in theirs:
            if before.state is not State.REMOVING:
                _remove(portal, tx, who, before, note)
    portal.wake()
    return theirs


def _remove(portal: Portal, tx: Tx, who: str, before: Deployment, note: str) -> None:
    after, gone = removal(tx, portal.now(), before)
    columns: DeploymentColumns = {
        "restart_after_stop": False,
        "stop_note": note,
        **NOT_WAITING,
        **gone,
    }
    details = {"request": "retire", "reason": note}
    change(tx, portal.now(), who, before, after, details, **columns)
