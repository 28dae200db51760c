"""`admin.py quota …`: what users and groups may hold."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from portal.scheduling import quotas

from cli.common import actor, print_json, wired

app = typer.Typer(no_args_is_help=True, help="What users and groups may hold.")


@app.command("set")
def set_limits(
    user: Annotated[str | None, typer.Option(help="a user's subject (edipi:… or upn:…)")] = None,
    group: Annotated[str | None, typer.Option(help="a group: shared by its members")] = None,
    gpus: Annotated[int | None, typer.Option(min=0)] = None,
    memory_gb: Annotated[float | None, typer.Option(min=0)] = None,
    cpus: Annotated[float | None, typer.Option(min=0)] = None,
    deployments: Annotated[int | None, typer.Option(min=0)] = None,
) -> None:
    """Set the limits of a user, a group or, with neither, of everybody without their own.

    Limits that are not given stay as they are.
    """
    scope, key = _scope(user, group)
    portal = wired()
    given: dict[str, Any] = {
        "gpus": gpus,
        "memory_gb": memory_gb,
        "cpus": cpus,
        "deployments": deployments,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    quotas.change_quota(portal, actor(), scope, key, changes)
    typer.echo(f"The quota of {key or 'everybody without their own'} is set.")


@app.command("clear")
def clear(
    user: Annotated[str | None, typer.Option(help="a user's subject")] = None,
    group: Annotated[str | None, typer.Option(help="a group")] = None,
) -> None:
    """Remove a quota, so that the default applies again."""
    scope, key = _scope(user, group)
    quotas.set_quota(wired(), actor(), scope, key, None)
    typer.echo(f"The quota of {key or 'everybody without their own'} is cleared.")


@app.command("list")
def list_all() -> None:
    """Every quota, as JSON."""
    rows = quotas.all_quotas(wired(), actor())
    print_json([{"scope": scope, "key": key, **vars(row)} for (scope, key), row in rows.items()])


def _scope(user: str | None, group: str | None) -> tuple[str, str]:
    if user and group:
        raise typer.BadParameter("give --user or --group, not both")
    if "" in (user, group):
        raise typer.BadParameter(
            "--user or --group is empty; leave both out for everybody without their own"
        )
    return (quotas.USER, user) if user else (quotas.GROUP, group) if group else (quotas.DEFAULT, "")
