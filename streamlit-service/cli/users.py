"""`admin.py user …`: users."""

from __future__ import annotations

from typing import Annotated

import typer
from portal import db, users
from portal.core.models import Role

from cli.common import actor, print_json, wired

app = typer.Typer(no_args_is_help=True, help="Users.")


@app.command("list")
def list_all() -> None:
    """Every user, as JSON."""
    with wired().database.reading() as tx:
        print_json([vars(user) for user in db.users.all_users(tx)])


@app.command("role")
def role(subject: str, role: Role) -> None:
    """Make somebody a user, an image curator or an administrator."""
    users.set_role(wired(), actor(), subject, role)
    typer.echo(f"{subject} is {role} now.")


@app.command("group")
def group(subject: str, group: Annotated[str, typer.Argument(help='"" for none')]) -> None:
    """Put a user into a group: they share its quota and use the pool of the same name."""
    users.set_group(wired(), actor(), subject, group)
    typer.echo(f"{subject} is in {f'group {group}' if group else 'no group'}.")
