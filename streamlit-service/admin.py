"""Command line entry for administrators: init, vm, image, user, audit."""

from __future__ import annotations

import getpass
import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
import wiring
from portal import audit, images, inventory, store
from portal.context import Portal
from portal.errors import PortalError

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Administer the Container Portal.")
vm_app = typer.Typer(no_args_is_help=True, help="User VMs.")
image_app = typer.Typer(no_args_is_help=True, help="Curated images and their releases.")
user_app = typer.Typer(no_args_is_help=True, help="Users.")
audit_app = typer.Typer(no_args_is_help=True, help="The audit trail.")
for name, sub in (("vm", vm_app), ("image", image_app), ("user", user_app), ("audit", audit_app)):
    app.add_typer(sub, name=name)


def _portal() -> Portal:
    return wiring.portal(wiring.settings())


def _actor() -> str:
    return f"cli:{getpass.getuser()}"


def _print(rows: list[dict[str, Any]]) -> None:
    typer.echo(json.dumps(rows, indent=2, default=str))


@app.command()
def init() -> None:
    """Create the database, or bring it to the newest schema."""
    _portal().store.migrate()
    typer.echo("The database is ready.")


@vm_app.command("add")
def vm_add(
    name: str,
    engine: Annotated[str, typer.Option(help="unix:///var/run/docker.sock or ssh://user@host[:port]")],
    address: Annotated[str, typer.Option(help="the VM's internal address, where containers publish")],
    owner: Annotated[str | None, typer.Option(help="user (edipi:… or upn:…) it is dedicated to; default: pool")] = None,
) -> None:
    """Add a VM."""
    inventory.add(_portal(), _actor(), name, engine, address, owner)
    typer.echo(f"VM {name} is in the fleet.")


@vm_app.command("list")
def vm_list() -> None:
    """Every VM, as JSON."""
    with _portal().store.reading() as tx:
        _print([vars(vm) for vm in store.all_vms(tx)])


@image_app.command("approve")
def image_approve(
    image: str,
    reference: Annotated[str, typer.Option(help="registry/name@sha256:…, as the push printed it")],
    version: Annotated[str, typer.Option()],
    size_bytes: Annotated[int, typer.Option(min=1)],
    standin: Annotated[bool, typer.Option(help="built on a stand-in base")] = False,
    created: Annotated[str | None, typer.Option(help="ISO 8601; default: now")] = None,
) -> None:
    """Make a digest the release that runs for an image."""
    created_at = datetime.fromisoformat(created) if created else datetime.now(UTC)
    release = images.approve(_portal(), _actor(), image=image, version=version, reference=reference,
                             size_bytes=size_bytes, standin=standin, created_at=created_at)  # fmt: skip
    typer.echo(f"{image} {release.version} is approved: {release.reference}")


@user_app.command("list")
def user_list() -> None:
    """Every user, as JSON."""
    with _portal().store.reading() as tx:
        _print([vars(user) for user in store.all_users(tx)])


@audit_app.command("verify")
def audit_verify() -> None:
    """Walk the hash chain; exit code 1 when an event was changed or deleted."""
    with _portal().store.reading() as tx:
        verdict = audit.verify(tx)
    if verdict.broken_at is not None:
        typer.echo(f"The audit trail is broken at event {verdict.broken_at}: {verdict.problem}.", err=True)
        raise typer.Exit(1)
    typer.echo(f"The audit trail is whole: {verdict.events} events.")


@audit_app.command("list")
def audit_list(subject: Annotated[str | None, typer.Option(help="e.g. deployment:0123456789ab")] = None) -> None:
    """Audit events in order, as JSON."""
    with _portal().store.reading() as tx:
        _print([vars(event) for event in audit.events(tx, subject)])


def main() -> None:
    """Run; a PortalError becomes two lines and exit code 1, never a traceback."""
    try:
        app()
    except PortalError as error:
        typer.echo(f"{error.message}\n{error.hint}", err=True)
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
