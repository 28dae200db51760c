"""Names instead of ports: jane-doe-1a2b3c-0-jupyter, one a service, below PORTAL_APPS_DOMAIN.

A name is an origin of its own, as a port is (RFC 6454). It says whose it is, but opens nothing:
the gateway still asks whose card it is.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass

from portal.core import ports

READABLE = 40
"""Letters of somebody's name; a label of DNS has 63 (RFC 1035, section 2.3.4)."""
_NAME = re.compile(r"([a-z0-9-]{1,50})-([0-9])-(jupyter|tensorboard)")


@dataclass(frozen=True)
class Name:
    """A name, taken apart."""

    user: str
    slot: int
    service: ports.Service


def of_user(subject: str) -> str:
    """What a person's names begin with: their subject, as far as letters of DNS tell it.

    And six digits of its hash, since jane.doe and jane-doe read alike.
    """
    readable = unicodedata.normalize("NFKD", subject.partition(":")[2].partition("@")[0])
    letters = re.sub(r"[^a-z0-9]+", "-", readable.encode("ascii", "ignore").decode().lower())
    digest = hashlib.sha256(subject.encode()).hexdigest()[:6]
    return f"{letters[:READABLE].strip('-')}-{digest}".lstrip("-")


def of_service(subject: str, slot: int, service: ports.Service) -> str:
    """The name of a service in a slot."""
    return f"{of_user(subject)}-{slot}-{service.name.lower()}"


def parse(name: str) -> Name | None:
    """What a name says; None for what is none."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    user, slot, service = found.groups()
    return Name(user, int(slot), ports.Service[service.upper()])
