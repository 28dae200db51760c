"""What every use case is given: settings, records, time, and a way to wake the worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from portal.core.catalog import Image
from portal.core.people import Certificate
from portal.core.settings import Settings
from portal.core.signatures import Signed
from portal.db.connection import Database


def _unknown(_: Certificate) -> bool:
    """Where nobody asks whether a certificate was revoked."""
    return False


def _unsigned(_body: str, _last: int, _hash: str) -> Signed | None:
    """Where there is no key."""
    return None


def _good(_: Certificate) -> bool:
    """Likewise."""
    return True


@dataclass(frozen=True)
class Portal:
    """The wired product. `wake` tells the worker that there is new intent; it never raises."""

    settings: Settings
    database: Database
    catalog: Mapping[str, Image]
    now: Callable[[], datetime]
    wake: Callable[[], None]
    is_revoked: Callable[[Certificate], bool] = _unknown
    """Whether a certificate is known to be revoked."""
    card_counts: Callable[[Certificate], bool] = _good
    """Whether its holder would be let in with it, as far as revocation goes."""
    sign_export: Callable[[str, int, str], Signed | None] = _unsigned
    """Signs an export by SHA-256, last number and its hash; PortalError where nobody answers."""
