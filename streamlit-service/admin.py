"""Command line entry for administrators: init, vm, image, user, audit, crl, backup, health."""

from __future__ import annotations

import getpass
import json
from dataclasses import replace
from typing import Annotated, Any

import bootstrap
import typer
from cli import backup, crl, health, images
from portal import db, users, vms
from portal.context import Portal
from portal.core.errors import Conflict, PortalError
from portal.core.models import Quota, Role, VmState
from portal.scheduling import quotas
from portal.scheduling.placement import SHARED_POOL
from portal.vms import health as vm_health

OWNER_HELP = "user (edipi:… or upn:…) it is dedicated to; default: a pool"
POOL_HELP = "shared, or the name of a group whose members alone may use it"

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Administer the Container Portal."
)
vm_app = typer.Typer(no_args_is_help=True, help="User VMs.")
user_app = typer.Typer(no_args_is_help=True, help="Users.")
quota_app = typer.Typer(no_args_is_help=True, help="What users and groups may hold.")
audit_app = typer.Typer(no_args_is_help=True, help="The audit trail.")
PARTS = {
    "vm": vm_app,
    "image": images.app,
    "user": user_app,
    "quota": quota_app,
    "audit": audit_app,
    "crl": crl.app,
}
for name, sub in PARTS.items():
    app.add_typer(sub, name=name)


def _portal() -> Portal:
    return bootstrap.portal(bootstrap.settings())


def _actor() -> str:
    return f"cli:{getpass.getuser()}"


def _print(rows: list[dict[str, Any]]) -> None:
    typer.echo(json.dumps(rows, indent=2, default=str))


@app.command()
def init() -> None:
    """Create the database, or bring it to the newest schema."""
    _portal().database.migrate()
    typer.echo("The database is ready.")


app.command("backup")(backup.make)
app.command("restore")(backup.restore)
app.command("health")(health.check)


@vm_app.command("add")
def vm_add(
    name: str,
    engine: Annotated[
        str, typer.Option(help="unix:///var/run/docker.sock or ssh://user@host[:port]")
    ],
    address: Annotated[
        str, typer.Option(help="the VM's internal address, where containers publish")
    ],
    owner: Annotated[str | None, typer.Option(help=OWNER_HELP)] = None,
    pool: Annotated[str, typer.Option(help=POOL_HELP)] = SHARED_POOL,
) -> None:
    """Add a VM at once and unchecked; setup-vm.sh is the way to an isolated, verified one."""
    vms.add(_portal(), _actor(), name, engine, address, owner, pool)
    typer.echo(f"VM {name} is in the fleet.")


@vm_app.command("setup")
def vm_setup(
    name: str,
    engine: Annotated[
        str, typer.Option(help="unix:///var/run/docker.sock or ssh://user@host[:port]")
    ],
    address: Annotated[
        str | None, typer.Option(help="the VM's internal address, where containers publish")
    ] = None,
    owner: Annotated[str | None, typer.Option(help=OWNER_HELP)] = None,
    pool: Annotated[str | None, typer.Option(help=POOL_HELP)] = None,
) -> None:
    """Add a VM that takes containers once it is proven.

    What setup-vm.sh ends with; again, it changes nothing.

    A VM that is known keeps address, owner and pool where none is given.
    """
    portal = _portal()
    vm = vms.set_up(portal, _actor(), name, engine, address, owner, pool)
    if vm.state is not VmState.NEW:
        typer.echo(f"VM {name} is in the fleet.")
        return
    vm_prove(name)
    vms.activate(portal, _actor(), name)
    typer.echo(f"VM {name} takes containers.")


@vm_app.command("prove")
def vm_prove(name: str) -> None:
    """Look at a VM, and run a container on it as a user's would run; it is removed again.

    Exit code 1: it failed.
    """
    failed = 0
    for check in bootstrap.worker_client(bootstrap.settings()).prove(name):
        failed += check["state"] == "failed"
        typer.echo(f"  {check['state']:8} {check['says']}")
        if check["hint"] and check["state"] != "ok":
            typer.echo(f"           {check['hint']}")
    if failed:
        typer.echo(f"VM {name} cannot be used yet.", err=True)
        raise typer.Exit(1)


@vm_app.command("list")
def vm_list() -> None:
    """Every VM, as JSON."""
    with _portal().database.reading() as tx:
        _print([vars(vm) for vm in db.vms.all_vms(tx)])


@vm_app.command("assign")
def vm_assign(
    name: str,
    owner: Annotated[str | None, typer.Option(help=OWNER_HELP)] = None,
    pool: Annotated[str, typer.Option(help=POOL_HELP)] = SHARED_POOL,
) -> None:
    """Dedicate a VM to a user, or put it into a pool. What runs on it goes on."""
    vms.assign(_portal(), _actor(), name, owner=owner, pool=pool)
    typer.echo(f"VM {name} is {f'dedicated to {owner}' if owner else f'in pool {pool}'}.")


@vm_app.command("drain")
def vm_drain(name: str) -> None:
    """No new containers on a VM; what runs goes on."""
    vms.drain(_portal(), _actor(), name)
    typer.echo(f"VM {name} takes no new containers. Undo: admin.py vm activate {name}")


@vm_app.command("activate")
def vm_activate(name: str) -> None:
    """A drained VM takes new containers again."""
    vms.activate(_portal(), _actor(), name)
    typer.echo(f"VM {name} takes new containers.")


@vm_app.command("remove")
def vm_remove(
    name: str,
    if_there: Annotated[
        bool, typer.Option("--if-there", help="no error when there is no such VM")
    ] = False,
) -> None:
    """Take a VM out of the fleet; refused while containers run on it."""
    with _portal().database.reading() as tx:
        known = db.vms.by_name(tx, name)
        others = [vm.name for vm in db.vms.all_vms(tx) if vm_health.host(vm) == name]
    if known is None and others:
        raise Conflict(
            "other_name",
            f"{name} is in the fleet as {others[0]}.",
            f"Say so: --name {others[0]}, or its name.",
        )
    if known is None and if_there:
        return
    vms.remove(_portal(), _actor(), name)
    typer.echo(f"VM {name} is no longer in the fleet. Its disk was not touched.")


@user_app.command("list")
def user_list() -> None:
    """Every user, as JSON."""
    with _portal().database.reading() as tx:
        _print([vars(user) for user in db.users.all_users(tx)])


@user_app.command("role")
def user_role(subject: str, role: Role) -> None:
    """Make somebody a user, an image curator or an administrator."""
    users.set_role(_portal(), _actor(), subject, role)
    typer.echo(f"{subject} is {role} now.")


@user_app.command("group")
def user_group(subject: str, group: Annotated[str, typer.Argument(help='"" for none')]) -> None:
    """Put a user into a group: they share its quota and use the pool of the same name."""
    quotas.set_group(_portal(), _actor(), subject, group)
    typer.echo(f"{subject} is in {f'group {group}' if group else 'no group'}.")


@quota_app.command("set")
def quota_set(
    user: Annotated[str | None, typer.Option(help="a user's subject (edipi:… or upn:…)")] = None,
    group: Annotated[str | None, typer.Option(help="a group: shared by its members")] = None,
    gpus: Annotated[int | None, typer.Option(min=0)] = None,
    memory_gb: Annotated[float | None, typer.Option(min=0)] = None,
    cpus: Annotated[float | None, typer.Option(min=0)] = None,
    deployments: Annotated[int | None, typer.Option(min=0)] = None,
) -> None:
    """Set limits of a user, a group, or (with neither) of everybody without their own.

    What is left out stays.
    """
    scope, key = _scope(user, group)
    portal = _portal()
    with portal.database.reading() as tx:
        before = db.quotas.get(tx, scope, key) or Quota()
    given: dict[str, Any] = {
        "gpus": gpus,
        "memory_gb": memory_gb,
        "cpus": cpus,
        "deployments": deployments,
    }
    after = replace(before, **{name: value for name, value in given.items() if value is not None})
    quotas.set_quota(portal, _actor(), scope, key, after)
    typer.echo(f"The quota of {key or 'everybody without their own'} is set.")


@quota_app.command("clear")
def quota_clear(
    user: Annotated[str | None, typer.Option(help="a user's subject")] = None,
    group: Annotated[str | None, typer.Option(help="a group")] = None,
) -> None:
    """Take a quota away again."""
    scope, key = _scope(user, group)
    quotas.set_quota(_portal(), _actor(), scope, key, None)
    typer.echo(f"The quota of {key or 'everybody without their own'} is cleared.")


@quota_app.command("list")
def quota_list() -> None:
    """Every quota, as JSON."""
    with _portal().database.reading() as tx:
        _print(
            [
                {"scope": scope, "key": key, **vars(row)}
                for (scope, key), row in db.quotas.all_quotas(tx).items()
            ]
        )


def _scope(user: str | None, group: str | None) -> tuple[str, str]:
    if user and group:
        raise typer.BadParameter("give --user or --group, not both")
    if "" in (user, group):
        raise typer.BadParameter(
            "--user or --group is empty; leave both out for everybody without their own"
        )
    return (quotas.USER, user) if user else (quotas.GROUP, group) if group else (quotas.DEFAULT, "")


@audit_app.command("verify")
def audit_verify() -> None:
    """Walk the hash chain; exit code 1 when an event was changed or deleted."""
    with _portal().database.reading() as tx:
        verdict = db.audit.verify(tx)
    if verdict.broken_at is not None:
        typer.echo(
            f"The audit trail is broken at event {verdict.broken_at}: {verdict.problem}.", err=True
        )
        raise typer.Exit(1)
    typer.echo(f"The audit trail is whole: {verdict.events} events.")


@audit_app.command("list")
def audit_list(
    subject: Annotated[str | None, typer.Option(help="e.g. deployment:0123456789ab")] = None,
) -> None:
    """Audit events in order, as JSON."""
    with _portal().database.reading() as tx:
        _print([vars(event) for event in db.audit.events(tx, subject)])


def main() -> None:
    """Run; a PortalError becomes two lines and exit code 1, never a traceback."""
    bootstrap.configure_logging()
    try:
        app()
    except PortalError as error:
        typer.echo(f"{error.message}\n{error.hint}", err=True)
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
