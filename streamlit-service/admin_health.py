"""Command line: what is wrong, as seen from inside; scripts/health-check.sh adds what only the host can see."""

from __future__ import annotations

import json
from typing import Annotated

import typer
import wiring
from portal import health
from portal.errors import PortalError
from portal.health import Finding
from sqlalchemy.exc import SQLAlchemyError

RANK = {"critical": 0, "warning": 1, "ok": 2}


def check(
    lines: Annotated[bool, typer.Option("--lines", help="tab separated, for health-check.sh")] = False,
    deploy: Annotated[str | None, typer.Option(help="also prove this VM with a container")] = None,
) -> None:
    """Every finding as JSON, the worst first. Ends well whatever it finds: the findings are the answer."""
    findings = sorted(_all(deploy), key=lambda one: RANK[one.state])
    if lines:
        for one in findings:
            typer.echo("\t".join(str(value).replace("\t", " ").replace("\n", " ") for value in vars(one).values()))
    else:
        typer.echo(json.dumps([vars(one) for one in findings], indent=2))


def _all(deploy: str | None) -> list[Finding]:
    config = wiring.settings()
    found: list[Finding] = []
    try:
        found += health.of_records(wiring.portal(config))
    except SQLAlchemyError as error:
        cause = str(getattr(error, "orig", error)).splitlines()[0]
        found.append(Finding("critical", "database", "database", f"The database does not answer: {cause}",
                             "docker compose ps postgres; docker compose logs postgres", "database-away"))  # fmt: skip
    if config.registry_password_file:
        found.append(_registry())
    if deploy:
        found += _proof(deploy)
    return found


def _registry() -> Finding:
    try:
        wiring.ping_registry(wiring.settings())
    except PortalError as error:
        return Finding("critical", "registry", "registry", f"{error.message} {error.cause}".strip(),
                       "docker compose ps registry; docker compose logs registry", "registry-away")  # fmt: skip
    return Finding("ok", "registry", "registry", "The registry answers and takes the password.")


def _proof(vm: str) -> list[Finding]:
    try:
        checks = list(wiring.worker_client(wiring.settings()).prove(vm))
    except PortalError as error:
        return [Finding("critical", "deploy", vm, error.message, error.hint, "vm-new")]
    states = {"failed": "critical"}
    return [Finding(states.get(one["state"], one["state"]), "deploy", vm, one["says"], one["hint"], "vm-new")
            for one in checks]  # fmt: skip
