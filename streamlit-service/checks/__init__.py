"""What is wrong besides the records: authorities, lists, registry, certificates, this machine."""

from __future__ import annotations

from collections.abc import Iterator

import bootstrap
from portal import db
from portal.context import Portal
from portal.core.errors import DatabaseTrouble, PortalError
from portal.core.health import Status
from portal.core.settings import Settings
from portal.monitoring import health

from checks import authorities, machine

_LISTS = authorities.Kept()


def everything(portal: Portal) -> Iterator[Status]:
    """Every finding, in no order; each of what could be looked at."""
    yield from of_records(portal)
    yield from outside(portal.settings)


def of_records(portal: Portal) -> Iterator[Status]:
    """What the records tell, or that they cannot be asked."""
    try:
        yield from list(health.of_records(portal))
    except (db.DatabaseError, DatabaseTrouble) as error:
        known = error if isinstance(error, DatabaseTrouble) else None
        message = known.message if known else "The database cannot be used."
        cause = known.cause if known else str(error).splitlines()[0]
        yield Status(
            "critical",
            "database",
            "database",
            f"{message} {cause}",
            "docker compose ps postgres; docker compose logs postgres",
            "database-away",
        )


def outside(config: Settings) -> Iterator[Status]:
    """What the records do not tell."""
    yield from _LISTS.found(config)
    if config.registry_password_file:
        yield _registry(config)
    yield from machine.checks(config)


def _registry(config: Settings) -> Status:
    try:
        bootstrap.ping_registry(config)
    except PortalError as error:
        return Status(
            "critical",
            "registry",
            "registry",
            f"{error.message} {error.cause}".strip(),
            "docker compose ps registry; docker compose logs registry",
            "registry-away",
        )
    return Status("ok", "registry", "registry", "The registry answers and accepts the password.")
