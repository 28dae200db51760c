"""The notice that people accept before anything else: once for each session and text.

A session ends when somebody signs out, and after PORTAL_CONSENT_HOURS without use. What is open
already goes on; whatever is asked for anew waits for the answer.
"""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from portal import db
from portal.context import Portal
from portal.core.errors import Conflict, Forbidden, Unavailable
from portal.core.people import Identity, Origin, User
from portal.db.consents import Consent
from portal.users import visits

LOOK_EVERY_S = 1.0
RENEW_EVERY = timedelta(minutes=5)
MAX_BYTES = 64 * 1024
NEEDED = "consent_needed"


@dataclass(frozen=True)
class Notice:
    """What is to be accepted. `hash`: SHA-256 of the file, in hexadecimal digits."""

    text: str
    hash: str


class _File:
    """Read anew when it changes; what cannot be read for a moment stays as it was."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._looked_at = -LOOK_EVERY_S
        self._path: Path | None = None
        self._stamp: tuple[int, int, int] | None = None
        self._notice: Notice | None = None

    def notice(self, path: Path) -> Notice | None:
        with self._guard:
            now = time.monotonic()
            if path == self._path and now - self._looked_at < LOOK_EVERY_S:
                return self._notice
            if path != self._path:
                self._path, self._stamp, self._notice = path, None, None
            self._looked_at = now
            try:
                stat = path.stat()
                stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
                if stamp != self._stamp:
                    self._notice, self._stamp = _read(path) or self._notice, stamp
            except (OSError, UnicodeDecodeError):
                self._stamp = None
            return self._notice


def _read(path: Path) -> Notice | None:
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    text = content.decode().strip()
    if not text or len(content) > MAX_BYTES:
        return None
    return Notice(text, hashlib.sha256(content).hexdigest())


_FILE = _File()


def notice(portal: Portal) -> Notice | None:
    """What people accept now; None where nothing is asked. Unavailable where it cannot be read."""
    path = portal.settings.consent_file
    if path is None:
        return None
    found = _FILE.notice(path)
    if found is None:
        raise Unavailable(
            "consent_missing",
            "The notice that you would have to accept cannot be read.",
            f"Tell {portal.settings.help_contact}: PORTAL_CONSENT_FILE is missing, empty, longer"
            f" than {MAX_BYTES // 1024} kB or no UTF-8.",
        )
    return found


def check(portal: Portal, user: User, identity: Identity) -> None:
    """Raise Forbidden unless a person has accepted the notice in this session."""
    wanted = notice(portal)
    if wanted is None or user.is_service:
        return
    with portal.database.reading() as tx:
        given = db.consents.get(tx, user.id, identity.fingerprint)
    check_given(portal, wanted, given, user.sessions_ended_at)
    if given and portal.now() - given.seen_at >= RENEW_EVERY:
        note_seen(portal, user.id, identity)


def check_ssh(portal: Portal, user: User) -> None:
    """As check(), for who comes with whatever key: accepted with whatever card."""
    wanted = notice(portal)
    if wanted is None or user.is_service:
        return
    with portal.database.reading() as tx:
        given = db.consents.of_user(tx, user.id)
    ended = user.sessions_ended_at
    counts = [each for each in given if _counts(portal, wanted, each, ended)]
    check_given(portal, wanted, next(iter(counts), None), ended)


def check_given(
    portal: Portal, wanted: Notice, given: Consent | None, sessions_ended_at: datetime | None
) -> None:
    """Raise Forbidden unless what was accepted is this notice, in this session."""
    if given is None or not _counts(portal, wanted, given, sessions_ended_at):
        raise Forbidden(
            "consent_needed",
            "You have to read and accept a notice first.",
            "Open the portal, where it is shown; by the API: GET and PUT /api/v1/me/consent.",
        )


def _counts(portal: Portal, wanted: Notice, given: Consent, ended: datetime | None) -> bool:
    """Whether it is this text, in this session; a clock may have gone back."""
    lasts = timedelta(hours=portal.settings.consent_hours)
    in_use = timedelta() <= portal.now() - given.seen_at < lasts
    return given.text_hash == wanted.hash and in_use and not (ended and ended >= given.accepted_at)


def note_seen(portal: Portal, user_id: int, identity: Identity) -> None:
    """Note that what was accepted counts still: the session goes on."""
    now = portal.now()
    with portal.database.transaction() as tx:
        db.consents.seen(tx, user_id, identity.fingerprint, now, now - RENEW_EVERY)


def accept(portal: Portal, user: User, identity: Identity, text_hash: str, origin: Origin) -> None:
    """Record that somebody accepts a notice. Conflict where that is not the one of now."""
    wanted, now = notice(portal), portal.now()
    if wanted is None or wanted.hash != text_hash:
        raise Conflict(
            "consent_changed", "The notice has changed meanwhile.", "Read it again, as it is now."
        )
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        db.consents.put(tx, user.id, identity.fingerprint, text_hash, now)
        said = {**visits.of_certificate(identity), **vars(origin)}
        about = f"user:{user.subject}"
        db.audit.append(tx, now, user.subject, "access.consented", about, text=text_hash, **said)
