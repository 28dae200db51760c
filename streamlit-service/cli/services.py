"""`admin.py service …`: programs that use the API with certificates of their own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import bootstrap
import typer
from certificates import chain
from portal import users
from portal.core import subjects
from portal.core.people import Scope
from portal.core.settings import Settings
from portal.users import service_accounts

from cli.common import actor, print_json, wired

app = typer.Typer(no_args_is_help=True, help="Service accounts: programs that use the API.")


@app.command("list")
def list_all() -> None:
    """Every service account, as JSON."""
    portal = wired()
    print_json(
        [
            {
                "name": user.display_name,
                "subject": user.subject,
                "scopes": user.scopes,
                "ends_at": user.ends_at,
                "authority": user.root,
                "account": users.account(portal, user),
                "last_seen_at": user.last_seen_at,
            }
            for user in service_accounts.everyone(portal, actor())
        ]
    )


@app.command("set")
def put(
    name: str,
    until: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="within a year, UTC")],
    scope: Annotated[list[Scope], typer.Option(help="read, deploy; may be given twice")],
    authority: Annotated[
        str, typer.Option(help="common name of the root of its certificates; else the first's")
    ] = "",
) -> None:
    """Make a service account, or change what it may do and until when.

    To end it at once: user disable service:NAME.
    """
    portal = wired()
    root = _root(portal.settings, authority) if authority else ""
    made = service_accounts.put(portal, actor(), name, scope, until.replace(tzinfo=UTC), root=root)
    typer.echo(f"{made.subject} may {' and '.join(made.scopes)} until {until:%Y-%m-%d}.")


def _root(settings: Settings, authority: str) -> str:
    """The accepted root of this common name."""
    accepted = [ca for ca in bootstrap.client_authorities(settings) if chain.is_root(ca)]
    names = {ca.subject.rfc4514_string() for ca in accepted}
    named = [name for name in names if subjects.common_name(name) == authority.casefold()]
    if len(named) != 1:
        some = ", ".join(sorted(names))
        typer.echo(f"error: {authority!r} is not one of the accepted roots: {some}.", err=True)
        raise typer.Exit(1)
    return named[0]
