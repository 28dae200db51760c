"""One worker's hold on one deployment: a token, renewed while it works; guarded writes."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from datetime import timedelta
from typing import Any, Literal, Unpack

import structlog

from portal import db
from portal.context import Portal
from portal.core.errors import LockLost, PortalError
from portal.core.models import Deployment, Failure, State, Trouble, Vm
from portal.db.columns import UNLOCKED, DeploymentColumns
from portal.deployments import lifecycle, slots
from portal.monitoring import metrics

log = structlog.get_logger()

AUDITED: tuple[Literal["failure", "stop_reason"], ...] = ("failure", "stop_reason")
"""Columns that the audit event of a change of state repeats."""


class Work:
    """A claimed deployment. Every write raises LockLost once somebody's new intent took it over."""

    def __init__(self, portal: Portal, deployment: Deployment, token: str) -> None:
        self.portal = portal
        self.deployment = deployment
        self.token = token

    @classmethod
    def claim(cls, portal: Portal, deployment_id: str) -> Work | None:
        """Claim, or None when it is held, settled or gone."""
        now, token = portal.now(), secrets.token_hex(8)
        with portal.database.transaction() as tx:
            if not db.deployments.claim(tx, deployment_id, token, now, now + _ttl(portal)):
                return None
            deployment = db.deployments.by_id(tx, deployment_id)
            if deployment is None or deployment.state not in lifecycle.WORK:
                db.deployments.update(tx, deployment_id, **UNLOCKED)
                return None
        return cls(portal, deployment, token)

    @property
    def vm(self) -> Vm:
        """Its VM: only what has one needs the worker."""
        assert self.deployment.vm is not None
        return self.deployment.vm

    def renew(self) -> None:
        """Hold on for another while. Raises LockLost."""
        self.note()

    def note(self, **columns: Unpack[DeploymentColumns]) -> None:
        """Write progress: not a change of state, so not audited; renews the hold."""
        held = self.portal.now() + _ttl(self.portal)
        renewed: DeploymentColumns = {**columns, "lock_expires_at": held}
        self._write(**renewed)

    def _write(self, **columns: Unpack[DeploymentColumns]) -> None:
        with self.portal.database.transaction() as tx:
            db.deployments.update_claimed(tx, self.deployment.id, self.token, **columns)

    def move(
        self,
        after: State,
        *,
        done: bool = False,
        release: Collection[str] | None = (),
        **columns: Unpack[DeploymentColumns],
    ) -> None:
        """Change the state, its audit event in the same transaction. `done` ends the hold.

        `release` names the kinds of leases that are given back; None: all. Then the queue advances.
        """
        lifecycle.check(self.deployment.state, after)
        now, deployment = self.portal.now(), self.deployment
        changes: DeploymentColumns = {
            "trouble": None,
            **columns,
            "state": after,
            "updated_at": now,
        }
        if done:
            changes = {**changes, **UNLOCKED}
        details: dict[str, Any] = {name: columns[name] for name in AUDITED if name in columns}
        details |= db.audit.changed({"state": deployment.state}, {"state": after})
        with self.portal.database.transaction() as tx:
            db.serialize_writers(tx)  # before the row, as whoever else changes it does
            db.deployments.update_claimed(tx, deployment.id, self.token, **changes)
            if release is None or release:
                db.leases.release(tx, deployment.id, now, release)
            action, subject = f"deployment.{after}", f"deployment:{deployment.id}"
            db.audit.append(tx, now, "worker", action, subject, **details)
            self.deployment = db.deployments.by_id(tx, deployment.id) or deployment
        log.info("state_changed", deployment=deployment.id, state=after, vm=self.vm.name)
        if release is None or release:
            self.portal.wake()

    def fail(self, error: PortalError, *, container_left: bool = False) -> None:
        """Record the failure as its owner reads it, and give every lease back.

        All but the GPUs while the container may still be there.
        """
        metrics.FAILURES.labels(error.code).inc()
        failure = Failure(error.code, error.message, error.hint)
        self.move(
            State.FAILED,
            done=True,
            release=db.leases.ALL_BUT_GPUS if container_left else None,
            failure=vars(failure),
            slot=None,
            progress=None,
            gpu_uuids=None,
        )

    def change_slot(self, port: int) -> bool:
        """Something else holds this port on the VM: take the next slot. False without another.

        Raises LockLost.
        """
        now, deployment = self.portal.now(), self.deployment
        with self.portal.database.transaction() as tx:
            db.serialize_writers(tx)
            db.blocked_ports.put(tx, self.vm.id, port, now)
            db.leases.release(tx, deployment.id, now, (db.leases.PORT,))
            slot = slots.choose(tx, deployment.owner, self.vm, now)
            db.deployments.update_claimed(tx, deployment.id, self.token, slot=slot)
            slots.lease(tx, deployment.owner, deployment.id, slot, ssh=deployment.ssh, now=now)
            subject = f"deployment:{deployment.id}"
            details = {"vm": self.vm.name, "port": port}
            details |= db.audit.changed({"slot": deployment.slot}, {"slot": slot})
            db.audit.append(tx, now, "worker", "deployment.ports_changed", subject, **details)
            self.deployment = db.deployments.by_id(tx, deployment.id) or deployment
        log.warning("port_blocked", deployment=deployment.id, **details)
        return slot != deployment.slot

    def hold_back(self, error: PortalError, seconds: float) -> None:
        """Leave the intent as it is, say what it waits for, and try again after a while."""
        now, before = self.portal.now(), self.deployment.trouble
        since = before.since if before else now
        trouble = Trouble(error.code, error.message, "Administrators see this too.", since)
        self._write(
            trouble=db.rows.stored(trouble), lock_expires_at=now + timedelta(seconds=seconds)
        )

    def troubled_for(self) -> timedelta:
        """How long it could not be done."""
        trouble = self.deployment.trouble
        return self.portal.now() - trouble.since if trouble else timedelta()

    def goes_on(self) -> None:
        """What it waited for is there again. Raises LockLost."""
        if self.deployment.trouble:
            self.note(trouble=None)

    def still_held(self) -> bool:
        """Whether no new intent has taken the deployment over."""
        try:
            self.renew()
        except LockLost:
            return False
        return True


def _ttl(portal: Portal) -> timedelta:
    return timedelta(seconds=portal.settings.lock_ttl_s)
