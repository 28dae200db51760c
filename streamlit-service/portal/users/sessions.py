"""What people have open now, from where: for themselves, and for administrators."""

from __future__ import annotations

import threading
import uuid
from datetime import timedelta

import structlog

from portal import db
from portal.context import Portal
from portal.core.errors import DatabaseTrouble
from portal.core.people import Actor, Session, User
from portal.users import permissions
from portal.users.service import known

PAGE, SSH = "page", "ssh"
RENEW_EVERY_S = 60
LOST_AFTER = timedelta(minutes=3)
log = structlog.get_logger()


class OpenSessions:
    """Of one process, which renews all of its own with one write. Thread-safe.

    What cannot be noted, because the database is away, is in nobody's way.
    """

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self._guard = threading.Lock()
        self._open: dict[str, Session] = {}

    def open(self, session_id: str, user_id: int, way: str, address: str) -> None:
        """Note that somebody opened a page, or SSH."""
        session = Session(session_id, user_id, way, address, self._portal.now())
        with self._guard:
            self._open[session_id] = session
        try:
            with self._portal.database.transaction() as tx:
                db.sessions.put(tx, session)
        except DatabaseTrouble as trouble:
            log.warning("session_not_noted", code=trouble.code)

    def close(self, session_id: str) -> None:
        """Note that it is closed."""
        with self._guard:
            self._open.pop(session_id, None)
        try:
            with self._portal.database.transaction() as tx:
                db.sessions.remove(tx, session_id)
        except DatabaseTrouble as trouble:  # it is lost in some minutes
            log.warning("session_not_noted", code=trouble.code)

    def renew(self) -> None:
        """Note that all are open still, and forget those of processes that died."""
        with self._guard:
            ids = list(self._open)
        now = self._portal.now()
        try:
            with self._portal.database.transaction() as tx:
                if ids:
                    db.sessions.seen(tx, ids, now)
                db.sessions.remove_lost(tx, now - LOST_AFTER)
        except DatabaseTrouble as trouble:
            log.warning("session_not_noted", code=trouble.code)


def new_id() -> str:
    """Of a session that is about to be opened."""
    return uuid.uuid4().hex


def mine(portal: Portal, user: User) -> list[Session]:
    """What a person has open, the oldest first."""
    with portal.database.reading() as tx:
        return db.sessions.of_user(tx, user.id, portal.now() - LOST_AFTER)


def of_user(portal: Portal, actor: Actor, subject: str) -> list[Session]:
    """What somebody has open, for administrators."""
    permissions.reader(actor)
    with portal.database.reading() as tx:
        user = known(tx, subject)
    return mine(portal, user)
