"""When the directory is asked: now and then about everybody, at once about who signs in first."""

from __future__ import annotations

import time

from portal import db, deployments
from portal.context import Portal
from portal.core.directory import Directory
from portal.users import directory as use_case

AGAIN_S = 60.0
"""After a look that failed."""


class DirectoryLooks:
    """Looks when one is due; of who leads alone. `stops`: also what runs of people who left."""

    def __init__(
        self, portal: Portal, directory: Directory, every_s: float, *, stops: bool = False
    ) -> None:
        self._portal, self._directory, self._every_s = portal, directory, every_s
        self._stops = stops
        self._due_at, self._known, self._newcomers_at = 0.0, 0, 0.0

    def is_due(self) -> bool:
        """Whether it is time, or somebody came who was not there at the last look."""
        now = time.monotonic()
        return now >= self._due_at or (now >= self._newcomers_at and self._newest() > self._known)

    def look(self) -> None:
        """Ask, and carry over what it says."""
        newest, now = self._newest(), time.monotonic()
        everybody = now >= self._due_at
        # Should it fail, or hang: who came while the directory is away waits for the next try.
        self._newcomers_at = now + AGAIN_S
        if everybody:
            self._due_at = now + min(self._every_s, AGAIN_S)
        newer_than = None if everybody else self._known
        done = use_case.look(self._portal, self._directory, newer_than=newer_than)
        if done.at != done.succeeded_at:
            return
        self._known, self._newcomers_at = newest, 0.0
        if everybody:
            self._due_at = time.monotonic() + self._every_s
            if self._stops:
                deployments.stop_of_left(self._portal)

    def _newest(self) -> int:
        with self._portal.database.reading() as tx:
            return db.users.newest(tx)
