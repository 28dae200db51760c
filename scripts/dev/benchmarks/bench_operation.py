"""Bench of operation: health check of a fleet, setup-vm.sh with nothing to do, revocation."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import docker as docker_sdk
import pki
from bench_authz import long_list
from builds import ROOT
from certificates.revocation import STRICT, Card, RevocationLists
from harness.machines import Machines
from rows import Row, Sizes, row, timed
from stack import Stack

LOOKED = (0, 1, 2)
"""health-check.sh looked, and found things well, or not (its exit codes)."""


def benchmarks(stack: Stack, sizes: Sizes) -> dict[str, Callable[[], Row]]:
    """The rows, by name."""
    return {
        "health check": lambda: _health(stack, sizes),
        "setup again": lambda: _setup(stack, sizes.rounds),
        "revocation": lambda: _revocation(sizes),
    }


def cpu_percent(stack: Stack, seconds: int) -> float:
    """What a portal's services use for so long, in percent of one core."""
    client = docker_sdk.from_env()
    label = f"com.docker.compose.project={stack.project}"
    names = [
        str(container.id)
        for container in client.containers.list(ignore_removed=True, filters={"label": label})
    ]
    before = _cpu_seconds(client, names)
    time.sleep(seconds)
    return (_cpu_seconds(client, names) - before) / seconds * 100


def _cpu_seconds(client: docker_sdk.DockerClient, containers: list[str]) -> float:
    """CPU time so far, as the engine reads it: a process of ours in there would count, too."""
    stats = [client.api.stats(name, stream=False, one_shot=True) for name in containers]
    return sum(int(each["cpu_stats"]["cpu_usage"]["total_usage"]) for each in stats) / 1e9


def _health(stack: Stack, sizes: Sizes) -> Row:
    """health-check.sh with VMs none of which answers, against `docker compose ps`."""
    names = [f"bench-vm-{number:02}" for number in range(sizes.checked_vms)]
    try:
        for number, name in enumerate(names):
            where = (
                "--engine",
                f"ssh://portal@{name}.invalid",
                "--address",
                f"10.254.0.{number + 1}",
            )
            stack.admin("vm", "add", name, *where)
        command = [str(ROOT / "scripts" / "health-check.sh"), "--json"]
        measured = [timed(lambda: _run(stack, command, LOOKED)) for _ in range(sizes.rounds)]
        plain = [
            timed(lambda: _run(stack, ["docker", "compose", "ps"])) for _ in range(sizes.rounds)
        ]
    finally:
        for name in names:
            stack.admin("vm", "remove", name, "--if-there")
    return row(
        f"health-check.sh of {sizes.checked_vms} VMs / docker compose ps", measured, plain, "< 5 s"
    )


def _setup(stack: Stack, rounds: int) -> Row:
    """setup-vm.sh once more on a machine that it prepared, against one `ssh … true`."""
    machines = Machines(stack)
    try:
        machine = machines.add("debian-12", 222)
        arguments = ("--no-register", "--name", machine.name, machine.address)
        _again(machines, arguments)
        measured = [timed(lambda: _again(machines, arguments)) for _ in range(rounds)]
        ssh = [*machines.environment()["PORTAL_SSH"].split(), "-l", "ray", machine.address, "true"]
        plain = [timed(lambda: _run(stack, ssh)) for _ in range(rounds)]
    finally:
        machines.close()
    return row("setup-vm.sh, nothing to do / ssh HOST true", measured, plain, "< 10 s")


def _revocation(sizes: Sizes) -> Row:
    """One lookup in a long list of revoked certificates, against a call that just returns."""
    authority = pki.Authority("Bench")
    jane = authority.person("DOE.JANE.Q.1234567890", None).certificate
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "people.crl").write_bytes(long_list(authority, sizes.revoked))
        path = (jane, authority.issuing.certificate, authority.root.certificate)
        lists = RevocationLists(Path(folder), path[1:], STRICT)
        lists.held()
        measured = [timed(lambda: lists.check(Card((path,)))) for _ in range(sizes.calls * 10)]
    plain = [timed(lambda: None) for _ in range(sizes.calls * 10)]
    return row(
        f"is a card on a list of {sizes.revoked:,} / a call", measured, plain, "< 100 us", "us"
    )


def _again(machines: Machines, arguments: tuple[str, ...]) -> None:
    done = machines.setup(*arguments)
    if done.returncode:
        raise RuntimeError(done.stdout)


def _run(stack: Stack, command: list[str], good: tuple[int, ...] = (0,)) -> None:
    done = subprocess.run(
        command, env=stack.variables(), capture_output=True, text=True, check=False, timeout=120
    )
    if done.returncode not in good:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
