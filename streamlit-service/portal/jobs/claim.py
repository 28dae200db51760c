"""One worker's hold on one deployment: a token, renewed while it works; guarded writes."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from datetime import timedelta
from typing import Any

import structlog

from portal import db
from portal.context import Portal
from portal.core.errors import LockLost, PortalError
from portal.core.models import Deployment, State, Vm
from portal.deployments import lifecycle
from portal.monitoring import metrics

log = structlog.get_logger()


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
                db.deployments.update(tx, deployment_id, lock_token=None, lock_expires_at=None)
                return None
        return cls(portal, deployment, token)

    @property
    def vm(self) -> Vm:
        """Its VM: only what has one needs the worker."""
        assert self.deployment.vm is not None
        return self.deployment.vm

    def renew(self) -> None:
        """Hold on for another while. Raises LockLost."""
        with self.portal.database.transaction() as tx:
            db.deployments.update_claimed(
                tx,
                self.deployment.id,
                self.token,
                lock_expires_at=self.portal.now() + _ttl(self.portal),
            )

    def note(self, **values: Any) -> None:
        """Write progress: not a change of state, so not audited; renews the hold."""
        with self.portal.database.transaction() as tx:
            db.deployments.update_claimed(
                tx,
                self.deployment.id,
                self.token,
                lock_expires_at=self.portal.now() + _ttl(self.portal),
                **values,
            )

    def move(
        self,
        after: State,
        *,
        done: bool = False,
        release: Collection[str] | None = (),
        **values: Any,
    ) -> None:
        """Change the state, its audit event in the same transaction. `done` ends the hold.

        `release` names the kinds of leases that are given back; None: all. Then the line moves up.
        """
        lifecycle.check(self.deployment.state, after)
        now = self.portal.now()
        if done:
            values |= {"lock_token": None, "lock_expires_at": None}
        with self.portal.database.transaction() as tx:
            db.deployments.update_claimed(
                tx, self.deployment.id, self.token, state=after, updated_at=now, **values
            )
            if release is None or release:
                db.leases.release(tx, self.deployment.id, now, release)
            details = {
                k: v for k, v in values.items() if k in ("failure", "stop_reason", "container_id")
            }
            db.audit.append(
                tx,
                now,
                "worker",
                f"deployment.{after}",
                f"deployment:{self.deployment.id}",
                **details,
            )
            self.deployment = db.deployments.by_id(tx, self.deployment.id) or self.deployment
        log.info("state", deployment=self.deployment.id, state=after, vm=self.vm.name)
        if release is None or release:
            self.portal.wake()

    def fail(self, error: PortalError) -> None:
        """Record the failure as its owner is told it, and give every lease back."""
        metrics.FAILURES.labels(error.code).inc()
        failure = {"code": error.code, "message": error.message, "hint": error.hint}
        self.move(
            State.FAILED,
            done=True,
            release=None,
            failure=failure,
            slot=None,
            progress=None,
            gpu_uuids=None,
        )

    def defer(self, seconds: float) -> None:
        """Leave the intent as it is and try again after a while."""
        with self.portal.database.transaction() as tx:
            db.deployments.update_claimed(
                tx,
                self.deployment.id,
                self.token,
                lock_expires_at=self.portal.now() + timedelta(seconds=seconds),
            )

    def still_held(self) -> bool:
        """Whether no new intent has taken the deployment over."""
        try:
            self.renew()
        except LockLost:
            return False
        return True


def _ttl(portal: Portal) -> timedelta:
    return timedelta(seconds=portal.settings.lock_ttl_s)
