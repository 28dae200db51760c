"""When the directory is asked: now and then, and at once for who signs in first."""

from __future__ import annotations

import time

from portal import db
from portal.context import Portal
from portal.core.directory import Directory
from portal.users import directory as use_case

AGAIN_S = 60.0
"""After a look that failed."""


class DirectoryLooks:
    """Looks when one is due; of who leads alone."""

    def __init__(self, portal: Portal, directory: Directory, every_s: float) -> None:
        self._portal, self._directory, self._every_s = portal, directory, every_s
        self._due_at, self._known = 0.0, 0

    def is_due(self) -> bool:
        """Whether it is time, or somebody came who was not there at the last look."""
        with self._portal.database.reading() as tx:
            newest = db.users.newest(tx)
        if newest > self._known:
            # Who came while the directory is away waits for the next try.
            self._known, self._due_at = newest, min(self._due_at, 0.0)
        return time.monotonic() >= self._due_at

    def look(self) -> None:
        """Ask, and carry over what it says."""
        self._due_at = time.monotonic() + min(self._every_s, AGAIN_S)
        done = use_case.look(self._portal, self._directory)
        if done.at == done.succeeded_at:
            self._due_at = time.monotonic() + self._every_s
