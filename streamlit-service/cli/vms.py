"""`admin.py vm …`: user VMs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import bootstrap
import typer
from portal import db, deployments, vms
from portal.core.errors import Conflict
from portal.core.models import VmState
from portal.users.permissions import SHARED_POOL
from portal.vms import addresses, gpus

from cli.common import actor, print_json, utc, wired

app = typer.Typer(no_args_is_help=True, help="User VMs.")

ENGINE_HELP = "unix:///var/run/docker.sock or ssh://user@host[:port]"
ADDRESS_HELP = "the VM's internal address, where containers publish"
OWNER_HELP = "user (edipi:… or upn:…) it is dedicated to; default: a pool"
POOL_HELP = "shared, or the name of a group whose members alone may use it"
Engine = Annotated[str, typer.Option(help=ENGINE_HELP)]
Owner = Annotated[str | None, typer.Option(help=OWNER_HELP)]


@app.command("add")
def add(
    name: str,
    engine: Engine,
    address: Annotated[str, typer.Option(help=ADDRESS_HELP)],
    owner: Owner = None,
    pool: Annotated[str, typer.Option(help=POOL_HELP)] = SHARED_POOL,
) -> None:
    """Add a VM without checks; for an isolated, verified one, use setup-vm.sh."""
    vms.add(wired(), actor(), name, engine, address, owner, pool)
    typer.echo(f"VM {name} is in the fleet.")


@app.command("setup")
def setup(
    name: str,
    engine: Engine,
    address: Annotated[str | None, typer.Option(help=ADDRESS_HELP)] = None,
    owner: Owner = None,
    pool: Annotated[str | None, typer.Option(help=POOL_HELP)] = None,
) -> None:
    """Add a VM that takes containers once it is verified.

    The last step of setup-vm.sh; running it again changes nothing.

    A VM that is known keeps address, owner and pool where none is given.
    """
    portal = wired()
    vm = vms.set_up(portal, actor(), name, engine, address, owner, pool)
    if vm.state is not VmState.NEW:
        typer.echo(f"VM {name} is in the fleet.")
        return
    verify(name)
    vms.activate(portal, actor(), name)
    typer.echo(f"VM {name} takes containers.")


@app.command("prove", hidden=True)  # as it was called before
@app.command("verify")
def verify(name: str) -> None:
    """Probe a VM, and run a container on it just as a user's would run; then remove it.

    Exit code 1: the verification failed.
    """
    failed = 0
    for check in bootstrap.worker_client(bootstrap.settings()).verify_vm(name):
        failed += check["state"] == "failed"
        typer.echo(f"  {check['state']:8} {check['message']}")
        if check["hint"] and check["state"] != "ok":
            typer.echo(f"           {check['hint']}")
    if failed:
        typer.echo(f"VM {name} cannot be used yet.", err=True)
        raise typer.Exit(1)


@app.command("isolation")
def isolation(name: str) -> None:
    """Measure now what containers of two made-up people reach on a VM; the hourly proof, by hand.

    Exit code 1: something opened that must not, or it could not be measured.
    """
    said = bootstrap.worker_client(bootstrap.settings()).measure(name)
    for source, reached in said.get("cells", {}).items():
        for target, state in reached.items():
            typer.echo(f"  {state:8} {source}: {target}")
    problems = said.get("breaches") or ([said["problem"]] if "problem" in said else [])
    if problems:
        typer.echo(f"VM {name}: {'; '.join(problems)}", err=True)
        raise typer.Exit(1)
    typer.echo(f"VM {name} keeps containers apart; measured in {said['took_s']} s.")


@app.command("list")
def list_all() -> None:
    """Every VM, as JSON."""
    with wired().database.reading() as tx:
        print_json([vars(vm) for vm in db.vms.all_vms(tx)])


@app.command("assign")
def assign(
    name: str,
    owner: Owner = None,
    pool: Annotated[str, typer.Option(help=POOL_HELP)] = SHARED_POOL,
) -> None:
    """Dedicate a VM to a user, or put it into a pool. Its containers keep running."""
    vms.assign(wired(), actor(), name, owner=owner, pool=pool)
    typer.echo(f"VM {name} is {f'dedicated to {owner}' if owner else f'in pool {pool}'}.")


@app.command("drain")
def drain(
    name: str,
    by: Annotated[
        datetime | None,
        typer.Option(
            parser=utc, metavar="TIME", help="when what still runs is stopped: UTC, or +01:00"
        ),
    ] = None,
    reason: Annotated[str, typer.Option(help="with --by: why; the owners read it")] = "",
) -> None:
    """Start no new containers on a VM; running ones keep running, until a time if there is one."""
    vms.drain(wired(), actor(), name, by, reason)
    until = f", and is empty by {by:%Y-%m-%d %H:%M %Z}" if by else ""
    typer.echo(f"VM {name} takes no new containers{until}. Undo: admin.py vm activate {name}")


@app.command("activate")
def activate(name: str) -> None:
    """Let a drained VM take new containers again."""
    vms.activate(wired(), actor(), name)
    typer.echo(f"VM {name} takes new containers.")


@app.command("forget-gpu")
def forget_gpu(name: str, uuid: str) -> None:
    """Forget a missing GPU that was taken out of a VM, so that it is no longer shown."""
    gpus.forget(wired(), actor(), name, uuid)
    typer.echo(f"{uuid} is forgotten. It reappears if {name} reports it again.")


@app.command("remove")
def remove(
    name: str,
    if_there: Annotated[
        bool, typer.Option("--if-there", help="no error when there is no such VM")
    ] = False,
    lost: Annotated[
        bool, typer.Option("--lost", help="it will not come back: record its containers as stopped")
    ] = False,
    reason: Annotated[str, typer.Option(help="with --lost: why; the owners affected see it")] = "",
) -> None:
    """Take a VM out of the fleet; refused while containers run on it, unless it is lost.

    Containers of a lost VM are recorded as stopped, and what they held is free. If it comes back,
    add it again: its old containers are removed before it takes new ones.
    """
    with wired().database.reading() as tx:
        known = db.vms.by_name(tx, name)
        others = [vm.name for vm in db.vms.all_vms(tx) if addresses.host(vm) == name.lower()]
    if known is None and others:
        raise Conflict(
            "other_name",
            f"{name} is in the fleet as {others[0]}.",
            f"Use that name: {others[0]}, or --name {others[0]} with setup-vm.sh.",
        )
    if known is None and if_there:
        return
    if lost:
        ended = deployments.remove_lost_vm(wired(), actor(), name, reason)
        typer.echo(f"VM {name} is removed as lost. Containers that ended with it: {len(ended)}.")
        return
    vms.remove(wired(), actor(), name)
    typer.echo(f"VM {name} is no longer in the fleet. Its disk was not touched.")
