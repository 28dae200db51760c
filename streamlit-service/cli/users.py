"""`admin.py user …`: users."""

from __future__ import annotations

from typing import Annotated

import bootstrap
import typer
from portal import db, deployments, users
from portal.context import Portal
from portal.core.people import Role, User
from portal.deployments import addresses
from portal.users import certificates, ranges, sessions

from cli.common import Reason, actor, print_json, wired

app = typer.Typer(no_args_is_help=True, help="Users.")


@app.command("list")
def list_all() -> None:
    """Every user, as JSON."""
    portal = wired()
    with portal.database.reading() as tx:
        people = users.shown(portal, tx, db.users.all_users(tx))
    print_json([_shown(portal, user) for user in people])


def _shown(portal: Portal, user: User) -> dict[str, object]:
    has_ports = user.range_index is not None
    where = addresses.of_person(portal.settings, user) if has_ports else None
    account = users.account(portal, user)
    return vars(user) | {"account": account, "ports": where}


@app.command("cards")
def list_cards(subject: str) -> None:
    """The certificates that somebody came in with, as JSON: state, when last, from where."""
    config = bootstrap.settings()
    portal = bootstrap.portal(config, cards=bootstrap.known_cards(config))
    print_json([vars(card) for card in certificates.of_user(portal, actor(), subject)])


@app.command("sessions")
def list_sessions(subject: str) -> None:
    """The pages and SSH connections that somebody has open now, as JSON."""
    print_json([vars(each) for each in sessions.of_user(wired(), actor(), subject)])


@app.command("role")
def role(subject: str, role: Role) -> None:
    """Make somebody a user, an image curator or an administrator."""
    counts = users.set_role(wired(), actor(), subject, role)
    listed = f", and {counts} while PORTAL_ADMINS or PORTAL_CURATORS name them"
    typer.echo(f"{subject} is {role} now{listed if counts is not role else ''}.")


@app.command("group")
def group(subject: str, group: Annotated[str, typer.Argument(help='"" for none')]) -> None:
    """Make a group a user's main one, in place of the one that was (see also: group add)."""
    users.set_group(wired(), actor(), subject, group)
    typer.echo(f"{subject} {f'is in group {group}' if group else 'has no main group'}.")


@app.command("rename")
def rename(subject: str, name: str) -> None:
    """Correct how somebody is called, until their card says another name."""
    users.rename(wired(), actor(), subject, name)
    typer.echo(f"{subject} is called {name} now.")


@app.command("retire")
def retire(subject: str, reason: Reason) -> None:
    """Retire a user who has left: no more sign-in, containers are removed, home folders stay."""
    ended = deployments.retire(wired(), actor(), subject, reason)
    typer.echo(f"{subject} is retired. Containers being removed: {len(ended)}.")


@app.command("restore")
def restore(subject: str) -> None:
    """Let a retired user sign in again."""
    users.restore(wired(), actor(), subject)
    typer.echo(f"{subject} can sign in again.")


@app.command("disable")
def disable(
    subject: str,
    reason: Reason,
    *,
    stop: Annotated[bool, typer.Option(help="also stop their containers")] = False,
) -> None:
    """Keep a user out at once: pages, notebooks, SSH. Containers keep running unless --stop."""
    stopped = deployments.disable(wired(), actor(), subject, reason, stop=stop)
    typer.echo(f"{subject} is disabled. Containers being stopped: {len(stopped)}.")


@app.command("enable")
def enable(subject: str) -> None:
    """Let a user whose account is disabled or dormant sign in again."""
    users.enable(wired(), actor(), subject)
    typer.echo(f"{subject} can sign in again.")


@app.command("end-sessions")
def end_sessions(subject: str, reason: Reason) -> None:
    """End every page, notebook connection and SSH of a user; they may sign in again."""
    users.end_sessions(wired(), actor(), subject, reason)
    typer.echo(f"What {subject} had open ends now.")


@app.command("merge")
def merge(old: str, new: str) -> None:
    """Merge two accounts: whoever signs in as NEW becomes OLD, with everything OLD has."""
    users.merge(wired(), actor(), old, new)
    typer.echo(f"{new} is {old} from now on.")


@app.command("unmerge")
def unmerge(new: str) -> None:
    """Undo a merge: NEW becomes an account of its own again, with its keys and cards."""
    taken_for = users.unmerge(wired(), actor(), new)
    typer.echo(f"{new} is no longer {taken_for.subject}.")


@app.command("free-ports")
def free_ports(subject: str) -> None:
    """Free the port range of a user who has no containers."""
    ranges.free(wired(), actor(), subject)
    typer.echo(f"The ports of {subject} are free for others.")
