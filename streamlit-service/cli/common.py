"""What several commands share."""

from __future__ import annotations

import getpass
import json
from datetime import UTC, datetime
from typing import Annotated, Any

import bootstrap
import typer
from portal.context import Portal
from portal.core.people import CommandLine

HOUR_S = 3600.0
Reason = Annotated[str, typer.Option(help="why, in a sentence that the owner reads")]


def utc(text: str) -> datetime:
    """A time as ISO 8601 has it; without a zone it is UTC."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter("a time is like 2026-12-04T17:00, or ...T17:00+01:00") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def wired() -> Portal:
    """The product with the settings of the environment."""
    return bootstrap.portal(bootstrap.settings())


def actor() -> CommandLine:
    """Whoever runs the command."""
    return CommandLine(getpass.getuser())


def print_json(rows: list[dict[str, Any]]) -> None:
    """Print rows as JSON."""
    typer.echo(json.dumps(rows, indent=2, default=str))
