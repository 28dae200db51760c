"""`admin.py announcement …`: what people read on every page."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer
from portal import announcements
from portal.announcements import Level

from cli.common import actor, print_json, utc, wired

app = typer.Typer(no_args_is_help=True, help="What people read on every page.")
AUDIENCE = "everybody, role:ROLE, group:NAME, or vm:NAME (who has containers there)"


@app.command("add")
def add(
    text: str,
    level: Annotated[Level, typer.Option(help="an urgent one cannot be put away")] = Level.INFO,
    audience: Annotated[str, typer.Option("--for", help=AUDIENCE)] = "everybody",
    begins_at: Annotated[
        datetime | None, typer.Option("--from", parser=utc, metavar="TIME", help="default: now")
    ] = None,
    ends_at: Annotated[
        datetime | None,
        typer.Option("--until", parser=utc, metavar="TIME", help="default: a week later"),
    ] = None,
) -> None:
    """Tell people something. Times as 2026-12-04T17:00, UTC, or with a zone: …T17:00+01:00."""
    told = announcements.add(wired(), actor(), text, level, audience, begins_at, ends_at)
    typer.echo(f"Announcement {told.id}, until {told.ends_at:%Y-%m-%d %H:%M} UTC.")


@app.command("list")
def list_all() -> None:
    """Those that are shown, or will be, as JSON."""
    print_json([vars(each) for each in announcements.planned(wired(), actor())])


@app.command("end")
def end(announcement_id: int) -> None:
    """Show it no longer."""
    announcements.end(wired(), actor(), announcement_id)
    typer.echo(f"Announcement {announcement_id} is no longer shown.")
