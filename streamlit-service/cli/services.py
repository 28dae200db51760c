"""`admin.py service …`: programs that use the API with certificates of their own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from portal import users
from portal.core.people import Scope
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
) -> None:
    """Make a service account, or change what it may do and until when.

    To end it at once: user disable service:NAME.
    """
    made = service_accounts.put(wired(), actor(), name, scope, until.replace(tzinfo=UTC))
    typer.echo(f"{made.subject} may {' and '.join(made.scopes)} until {until:%Y-%m-%d}.")
