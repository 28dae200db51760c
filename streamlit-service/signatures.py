"""Whether a release may start, as far as the registry can tell: its signature, and that its tag was not moved.

An answer is remembered for settings.signature_ttl_s. When the registry is away, one that was good holds on longer.
"""

from __future__ import annotations

import threading
import time

import cosign
import structlog
from portal.config import Settings
from portal.errors import Conflict, EngineError
from portal.models import Release
from registry import Registry

log = structlog.get_logger()

GRACE_S = 24 * 3600.0
"""How long a good answer holds while the registry does not answer."""


class Verifier:
    """Callable with a release. Thread-safe; one release is asked about once at a time."""

    def __init__(self, settings: Settings, registry: Registry | None = None) -> None:
        self._settings = settings
        self._registry = registry or Registry(settings)
        self._good: dict[str, float] = {}
        self._guard = threading.Lock()
        self._asking: dict[str, threading.Lock] = {}

    def __call__(self, release: Release) -> None:
        """Return when it is good. Raises Conflict saying why not, EngineError when nobody can tell."""
        if self._age(release) < self._settings.signature_ttl_s:
            return
        with self._guard:
            turn = self._asking.setdefault(release.reference, threading.Lock())
        with turn:
            if self._age(release) < self._settings.signature_ttl_s:
                return
            try:
                self._ask(release)
            except EngineError as error:
                if self._age(release) > GRACE_S:
                    raise
                log.warning("signature from memory", release=release.reference, cause=error.cause)
                return
            except Conflict:
                self._good.pop(release.reference, None)
                raise
            self._good[release.reference] = time.monotonic()

    def _age(self, release: Release) -> float:
        known = self._good.get(release.reference)
        return time.monotonic() - known if known is not None else float("inf")

    def _ask(self, release: Release) -> None:
        name, contact = f"{release.image}:{release.version}", self._settings.help_contact
        now = self._registry.digest_of(release.reference, release.version)
        if now is None:
            raise Conflict("image_gone", f"{name} is no longer in the registry.",
                           f"Choose another release, or tell {contact}.")  # fmt: skip
        if now != release.digest:
            raise Conflict("tag_moved", f"The tag {name} points to other content than was approved.",
                           f"Somebody changed the registry: tell {contact}.", str(now))  # fmt: skip
        cosign.verify(self._settings, release.reference, release.image, release.version)
