"""Command line: what is wrong, seen from inside; health-check.sh adds what only the host sees."""

from __future__ import annotations

import json
from typing import Annotated

import bootstrap
import checks
import typer
from portal.core.errors import PortalError
from portal.core.health import Status

from cli.common import wired

RANK = {"critical": 0, "warning": 1, "ok": 2}


def check(
    lines: Annotated[
        bool, typer.Option("--lines", help="tab separated, for health-check.sh")
    ] = False,
    deploy: Annotated[str | None, typer.Option(help="also verify this VM with a container")] = None,
) -> None:
    """Every finding as JSON, the worst first.

    Exits with 0 whatever it finds: the findings are the answer.
    """
    look = checks.inside if lines else checks.everything
    found = [*look(wired()), *(_verification(deploy) if deploy else [])]
    findings = sorted(found, key=lambda finding: RANK[finding.state])
    if lines:
        for finding in findings:
            typer.echo(
                "\t".join(
                    str(value).replace("\t", " ").replace("\n", " ")
                    for value in vars(finding).values()
                )
            )
    else:
        typer.echo(json.dumps([vars(finding) for finding in findings], indent=2))


def _verification(vm: str) -> list[Status]:
    try:
        checks = list(bootstrap.worker_client(bootstrap.settings()).verify_vm(vm))
    except PortalError as error:
        return [Status("critical", "deploy", vm, error.message, error.hint, "vm-new")]
    states = {"failed": "critical"}
    return [
        Status(
            states.get(check["state"], check["state"]),
            "deploy",
            vm,
            check["message"],
            check["hint"],
            "vm-new",
        )
        for check in checks
    ]
