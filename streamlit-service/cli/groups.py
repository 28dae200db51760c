"""`admin.py group …`: who is in which group, and who leads it."""

from __future__ import annotations

from typing import Annotated

import bootstrap
import typer
from portal import users
from portal.core.directory import DirectorySettings
from portal.core.resources import Quota
from portal.scheduling import groups, quotas
from portal.users import directory as use_case

from cli.common import actor, print_json, wired

app = typer.Typer(no_args_is_help=True, help="Groups: members, leads, and what each may hold.")


@app.command("list")
def list_all() -> None:
    """Every group, with its quota and what its members hold, as JSON."""
    print_json(
        [
            {"group": each.whose, "limits": vars(each.limits), "held": vars(each.held)}
            for each in groups.led(wired(), actor())
        ]
    )


@app.command("members")
def members(group: str) -> None:
    """The people of a group, with what each may hold and holds of it, as JSON."""
    print_json(
        [
            {
                "subject": each.user.subject,
                "name": each.user.display_name,
                "leads": each.leads,
                "share": vars(each.share) if each.share else None,
                "held": vars(each.allowance.held),
            }
            for each in groups.members(wired(), actor(), group)
        ]
    )


@app.command("add")
def add(
    group: str,
    subject: str,
    *,
    lead: Annotated[bool, typer.Option(help="they lead it: see and stop its containers")] = False,
) -> None:
    """Put a user into a group beside those they are in, or change whether they lead it."""
    users.join(wired(), actor(), group, subject, leads=lead)
    typer.echo(f"{subject} {'leads' if lead else 'is in'} group {group}.")


@app.command("remove")
def remove(group: str, subject: str) -> None:
    """Take a user out of a group."""
    users.leave(wired(), actor(), group, subject)
    typer.echo(f"{subject} is no longer in group {group}.")


@app.command("share")
def share(
    group: str,
    subject: str,
    gpus: Annotated[int | None, typer.Option(min=0)] = None,
    memory_gb: Annotated[float | None, typer.Option(min=0)] = None,
    cpus: Annotated[float | None, typer.Option(min=0)] = None,
    deployments: Annotated[int | None, typer.Option(min=0)] = None,
) -> None:
    """Limit what one member may hold of a group's quota; without limits: all of it again."""
    limits = Quota(gpus=gpus, memory_gb=memory_gb, cpus=cpus, deployments=deployments)
    value = limits if limits != Quota() else None
    key = quotas.member_key(group, subject)
    quotas.set_quota(wired(), actor(), quotas.MEMBER, key, value)
    typer.echo(f"The share of {subject} is {'set' if value else 'all of the group quota'}.")


@app.command("look")
def look(
    *,
    all_at_once: Annotated[
        bool, typer.Option(help="also where it disables more people than is likely")
    ] = False,
) -> None:
    """Ask the organisation's directory now, and carry over what it says of all people."""
    directory = bootstrap.directory(DirectorySettings())
    if directory is None:
        raise typer.BadParameter("PORTAL_DIRECTORY_URL names none; the worker has its settings")
    done = use_case.look(wired(), directory, all_at_once=all_at_once)
    if done.problem:
        typer.echo(f"The directory: {done.problem}", err=True)
        raise typer.Exit(1)
    typer.echo(
        f"People: {done.people}, of whom {done.missing} are not in the directory and"
        f" {done.ambiguous} fit several entries."
    )


@app.command("rename")
def rename(group: str, name: str) -> None:
    """Rename a group, with its quota and the pool of the same name."""
    users.rename_group(wired(), actor(), group, name)
    typer.echo(f"Group {group} is now called {name}.")
