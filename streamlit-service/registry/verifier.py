"""Whether a release may start as far as the registry knows: signature and unmoved tag.

A good answer is remembered for settings.signature_ttl_s. While the registry is away, one that was
good within a day holds, also after a restart; and it is asked again only every few seconds, so that
a hanging registry holds up nobody.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog
from cachetools import TTLCache
from portal import db
from portal.core.errors import Conflict, EngineError
from portal.core.models import Release
from portal.core.settings import Settings
from portal.db.connection import Database

from registry import cosign, signature
from registry.client import Registry

log = structlog.get_logger()

GRACE = timedelta(days=1)
"""How long a good answer holds while the registry does not answer."""
KNOWN = 1024
"""Releases that are remembered at once."""
AWAY_S = 15.0
"""How long a registry that did not answer is not asked again."""


class Verifier:
    """Callable with a release. Thread-safe; one release is asked about once at a time."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        registry: Registry | None = None,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._database = database
        self._registry = registry or Registry(settings)
        self._good: TTLCache[str, bool] = TTLCache(KNOWN, settings.signature_ttl_s, timer)
        self._away: TTLCache[str, EngineError] = TTLCache(KNOWN, AWAY_S, timer)
        self._guard = threading.Lock()
        self._asking: dict[str, threading.Lock] = {}

    def __call__(self, release: Release) -> None:
        """Return when it is good.

        Raises Conflict saying why not, EngineError when nobody can tell.
        """
        if self._is_good(release):
            return
        with self._guard:
            turn = self._asking.setdefault(release.reference, threading.Lock())
        with turn:
            if self._is_good(release):
                return
            try:
                self._ask_unless_away(release)
            except EngineError as error:
                self._hold_on(release, error)
                return
            except Conflict:
                self._set_good(release, good=False)
                raise
            self._set_good(release, good=True)
            self._keep_signature(release)

    def _is_good(self, release: Release) -> bool:
        with self._guard:
            return release.reference in self._good

    def _set_good(self, release: Release, *, good: bool) -> None:
        with self._guard:
            self._good.pop(release.reference, None)
            if good:
                self._good[release.reference] = True
        self._remember(release, good=good)

    def _ask_unless_away(self, release: Release) -> None:
        with self._guard:
            error = self._away.get(release.reference)
        if error is not None:
            raise error
        try:
            self._ask(release)
        except EngineError as failure:
            with self._guard:
                self._away[release.reference] = failure
            raise

    def _hold_on(self, release: Release, error: EngineError) -> None:
        """Let it pass if it was good within a day; else raise."""
        with self._database.reading() as tx:
            recorded = db.releases.by_id(tx, release.id)
        last = recorded.verified_at if recorded is not None else None
        if last is None or datetime.now(UTC) - last > GRACE:
            raise error
        log.warning("signature_from_cache", release=release.reference, cause=error.cause)

    def _remember(self, release: Release, *, good: bool) -> None:
        with self._database.transaction() as tx:
            db.releases.update(tx, release.id, verified_at=datetime.now(UTC) if good else None)

    def _keep_signature(self, release: Release) -> None:
        """Once for each key, as evidence; whether it may start was decided."""
        key = self._settings.signature_key_file
        if key is None:
            return
        with self._database.reading() as tx:
            kept = db.releases.signature_of(tx, release.id)
        try:
            if kept is not None and kept.key == key.read_text(encoding="utf-8").strip():
                return
            found = signature.find(self._registry, key, release)
        except (EngineError, OSError, ValueError) as error:
            log.warning("signature_not_kept", release=release.reference, cause=str(error))
            return
        if found is not None:
            with self._database.transaction() as tx:
                db.releases.put_signature(tx, release.id, found)

    def _ask(self, release: Release) -> None:
        name, contact = f"{release.image}:{release.version}", self._settings.help_contact
        now = self._registry.digest_of(release.reference, release.version)
        if now is None:
            raise Conflict(
                "image_gone",
                f"{name} is no longer in the registry.",
                f"Choose another release, or tell {contact}.",
            )
        if now != release.digest:
            raise Conflict(
                "tag_moved",
                f"The tag {name} points to different content from what was approved.",
                f"Somebody changed the registry: tell {contact}.",
                str(now),
            )
        cosign.verify(self._settings, release.reference, release.image, release.version)
