"""`admin.py audit …`: the audit trail."""

from __future__ import annotations

import signal
from datetime import UTC, datetime
from typing import Annotated

import bootstrap
import typer
from certificates.signing import SigningKey
from offload.sender import Sender
from portal import audit, db
from portal.core.offload import OffloadSettings

from cli.common import actor, print_json, wired

DAY = ["%Y-%m-%d"]

app = typer.Typer(no_args_is_help=True, help="The audit trail.")


@app.command("verify")
def verify() -> None:
    """Walk the hash chain; exit code 1 when an event was changed or deleted."""
    verdict = audit.verify(wired(), actor())
    if verdict.broken_at is not None:
        typer.echo(
            f"The audit trail is broken at event {verdict.broken_at}: {verdict.problem}.", err=True
        )
        raise typer.Exit(1)
    signed = f" Signed up to {verdict.signed}, with key {verdict.key}." if verdict.signed else ""
    typer.echo(f"The audit trail is whole: {verdict.events} events.{signed}")


@app.command("list")
def list_all(
    subject: Annotated[str, typer.Option(help="e.g. deployment:0123456789ab")] = "",
    actor: Annotated[str, typer.Option(help="a person's subject, or e.g. cli:root")] = "",
    kind: Annotated[str, typer.Option(help=f"one of: {', '.join(audit.KINDS)}")] = "",
    since: Annotated[datetime | None, typer.Option(formats=DAY, help="UTC, included")] = None,
    until: Annotated[datetime | None, typer.Option(formats=DAY, help="UTC, not included")] = None,
    text: Annotated[str, typer.Option(help="anywhere in an event, whatever its case")] = "",
    last: Annotated[int | None, typer.Option(min=1, help="the newest of them only")] = None,
) -> None:
    """Audit events in order, as JSON."""
    if kind and kind not in audit.KINDS:
        raise typer.BadParameter(f"{kind!r} is none of: {', '.join(audit.KINDS)}")
    wanted = audit.Wanted(actor, subject, kind, _utc(since), _utc(until), text)
    with wired().database.reading() as tx:
        print_json([vars(event) for event in db.audit.search(tx, wanted, None, last)[::-1]])


@app.command("export")
def take_away(
    since: Annotated[datetime | None, typer.Option(formats=DAY, help="UTC, included")] = None,
    until: Annotated[datetime | None, typer.Option(formats=DAY, help="UTC, not included")] = None,
) -> None:
    """Events of a period with their hashes, as JSON Lines, for scripts/verify-audit.py."""
    lines = audit.export(wired(), actor(), _utc(since), _utc(until))
    for line in lines:
        typer.echo(line, nl=False)


@app.command("key")
def public_key() -> None:
    """Print the public key for verify-audit.py --key: of the worker, which has it. Keep it."""
    config = bootstrap.settings()
    if not config.audit_key_file.is_file():
        typer.echo("Only the worker has it: docker compose exec worker …", err=True)
        raise typer.Exit(1)
    typer.echo(SigningKey(config.audit_key_file).public, nl=False)


@app.command("offload")
def send_elsewhere() -> None:
    """Send every event to PORTAL_OFFLOAD_TO by RELP and TLS, until ended: the service `offload`."""
    config = OffloadSettings()
    if not config.to:
        typer.echo("PORTAL_OFFLOAD_TO is empty: there is nowhere to send to.", err=True)
        raise typer.Exit(1)
    sender = Sender(wired(), config)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sender.stop())
    sender.run()


def _utc(day: datetime | None) -> datetime | None:
    return day.replace(tzinfo=UTC) if day else None
