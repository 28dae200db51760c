"""`admin.py deployment …`: help with anybody's deployment."""

from __future__ import annotations

import bootstrap
import typer
from portal import deployments

from cli.common import Reason, actor, print_json, wired

app = typer.Typer(no_args_is_help=True, help="Everybody's deployments.")


@app.command("list")
def list_all() -> None:
    """Running and waiting deployments as JSON, oldest first; `trouble`: what is wrong."""
    print_json(
        [
            {
                "id": each.id,
                "owner": each.owner.subject,
                "name": each.name,
                "image": each.release.image,
                "vm": each.vm.name if each.vm else None,
                "state": each.state,
                "since": each.updated_at,
                "gpus": list(each.gpu_uuids),
                "trouble": vars(each.trouble) if each.trouble else None,
            }
            for each in deployments.everybody(wired(), actor())
        ]
    )


@app.command("stop")
def stop(deployment_id: str, reason: Reason) -> None:
    """Stop a deployment; its owner sees the reason and may start it again."""
    stopped = deployments.stop(wired(), actor(), deployment_id, reason)
    typer.echo(f"{stopped.name} of {stopped.owner.display_name} is {stopped.state}.")


@app.command("start")
def start(deployment_id: str, reason: Reason) -> None:
    """Start a deployment for its owner, who sees the reason. Their quota holds."""
    _act(deployment_id, "start", reason)


@app.command("restart")
def restart(deployment_id: str, reason: Reason) -> None:
    """Restart a deployment for its owner, who sees the reason."""
    _act(deployment_id, "restart", reason)


@app.command("remove")
def remove(deployment_id: str, reason: Reason) -> None:
    """Remove a deployment for its owner, who sees the reason. Its home folder is kept."""
    _act(deployment_id, "remove", reason)


def _act(deployment_id: str, action: str, reason: str) -> None:
    done = deployments.act_for(wired(), actor(), deployment_id, action, reason)
    typer.echo(f"{done.name} of {done.owner.display_name} is {done.state}.")


@app.command("log")
def log(deployment_id: str, reason: Reason, tail: int = 200) -> None:
    """Print the last lines of a log, where PORTAL_ADMINS_READ_LOGS is on; its owner reads why."""
    read = deployments.log_of(wired(), actor(), deployment_id, reason)
    text = bootstrap.worker_client(bootstrap.settings()).logs(read.id, tail=tail)
    typer.echo(text.decode(errors="replace"), nl=False)


@app.command("give-up")
def give_up(deployment_id: str, reason: Reason) -> None:
    """Give up on a stop or removal that does not succeed.

    Its GPUs stay reserved until its container is confirmed gone, or its VM is removed.
    """
    ended = deployments.give_up(wired(), actor(), deployment_id, reason)
    typer.echo(f"{ended.name} of {ended.owner.display_name} is {ended.state}.")
