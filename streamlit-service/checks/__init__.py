"""What is wrong besides the records: authorities, lists, registry, certificates, this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import bootstrap
import structlog
from portal import db
from portal.context import Portal
from portal.core.errors import DatabaseTrouble, PortalError
from portal.core.health import Status
from portal.core.settings import Settings
from portal.monitoring import health

from checks import authorities, machine

_LISTS = authorities.Kept()
log = structlog.get_logger()


def everything(portal: Portal) -> Iterator[Status]:
    """Every finding, in no order; each of what could be looked at."""
    yield from inside(portal)
    yield from _guarded("this machine", lambda: machine.checks(portal.settings))


def inside(portal: Portal) -> Iterator[Status]:
    """As everything(), but what health-check.sh looks at itself, by its own limits."""
    config = portal.settings
    yield from _guarded("the records", lambda: of_records(portal))
    yield from _guarded("revocation", lambda: _LISTS.found(config))
    yield from _guarded("the registry", lambda: _registries(config))


def _guarded(name: str, part: Callable[[], Iterable[Status]]) -> Iterator[Status]:
    """One that fails hides no other."""
    try:
        yield from list(part())
    except Exception as error:
        log.exception("check_failed", check=name)
        said = f"What is looked at of {name} could not be: {type(error).__name__}."
        command = "docker compose logs --tail 50 worker"
        yield Status("warning", "check", name, said, command, "worker-silent")


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


def _registries(config: Settings) -> Iterator[Status]:
    if config.registry_password_file:
        yield _registry(config)


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
