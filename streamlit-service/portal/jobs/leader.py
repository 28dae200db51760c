"""Which worker acts: of those that run at the same database one, and at its end another at once."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from datetime import timedelta

import structlog

from portal import db
from portal.context import Portal
from portal.core.errors import DatabaseTrouble, LockLost
from portal.deployments import lifecycle

log = structlog.get_logger()

RENEW_S = 1.0
TTL = timedelta(seconds=2.5)
"""A worker that died is followed within this and STANDBY_S."""
STANDBY_S = 0.5


class Leader:
    """Whether this process leads. For one thread, but for what check() is asked.

    When is the database's to say: clocks of machines differ.
    """

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self._token = secrets.token_hex(8)
        self._renewed_at = float("-inf")
        self.leads = False

    @property
    def portal(self) -> Portal:
        """The product, for what anybody may do whoever leads."""
        return self._portal

    def fenced(self) -> Portal:
        """The product, for the leader: nothing is written once another worker has taken over.

        Writes raise LockLost then, however long this process was held up before.
        """
        return replace(self._portal, database=self._portal.database.fenced(self._check))

    def _check(self, tx: db.Tx) -> None:
        if db.leaders.is_other(tx, self._token):
            raise LockLost("another worker leads")

    def renew(self) -> bool:
        """Become or stay the leader if nobody else is.

        A new leader drops the claims of the one before, whose writes are refused from then on.
        """
        if self.leads and time.monotonic() - self._renewed_at < RENEW_S:
            return True
        asked_at, led = time.monotonic(), self.leads
        self.leads = False  # until it is written
        self.leads = self._take()
        self._renewed_at = asked_at
        if led and not self.leads:
            log.warning("leads_no_more")
        return self.leads

    def _take(self) -> bool:
        with self._portal.database.reading() as tx:  # a standby holds up no writer
            now = db.clock(tx, self._portal.now())
            if not db.leaders.free(tx, self._token, now, TTL):
                return False
        try:
            with self._portal.database.transaction() as tx:
                before = db.leaders.holder(tx)
                now = db.clock(tx, self._portal.now())
                if not db.leaders.take(tx, self._token, now, TTL):
                    return False
                if before == self._token:  # its own claims go on, however late it is
                    return True
                dropped = db.deployments.unlock_all(tx, lifecycle.WORK)
        except db.Taken:
            return False
        log.info("leads", claims_dropped=dropped)
        return True

    def give_up(self) -> None:
        """At an orderly end: the next one need not wait. Never raises."""
        if not self.leads:
            return
        self.leads = False
        try:
            with self._portal.database.transaction() as tx:
                db.leaders.give_up(tx, self._token)
        except (db.DatabaseError, DatabaseTrouble) as error:
            log.warning("leadership_not_given_up", cause=type(error).__name__)
