"""`admin.py audit …`: the audit trail."""

from __future__ import annotations

from typing import Annotated

import typer
from portal import db

from cli.common import print_json, wired

app = typer.Typer(no_args_is_help=True, help="The audit trail.")


@app.command("verify")
def verify() -> None:
    """Walk the hash chain; exit code 1 when an event was changed or deleted."""
    with wired().database.reading() as tx:
        verdict = db.audit.verify(tx)
    if verdict.broken_at is not None:
        typer.echo(
            f"The audit trail is broken at event {verdict.broken_at}: {verdict.problem}.", err=True
        )
        raise typer.Exit(1)
    typer.echo(f"The audit trail is whole: {verdict.events} events.")


@app.command("list")
def list_all(
    subject: Annotated[str | None, typer.Option(help="e.g. deployment:0123456789ab")] = None,
) -> None:
    """Audit events in order, as JSON."""
    with wired().database.reading() as tx:
        print_json([vars(event) for event in db.audit.events(tx, subject)])
