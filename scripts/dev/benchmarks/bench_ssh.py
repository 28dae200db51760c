"""Bench of the SSH door: what it adds to a connection, how much goes through it, what many cost."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import asyncssh
import builds
import docker
import httpx2
from builds import ROOT
from docker.models.containers import Container
from ordering import JOHN, order, tidy, until, until_state
from rows import Row, Sizes, row
from stack import Stack

WORKSTATION = "container-portal-test-workstation:dev"
CONFIG = r"""
Host door
  HostName {bind}
  Port {port}
  User {john}
Host through
  HostName bench-ssh
  ProxyJump door
Host direct
  HostName {address}
  Port {direct}
Host *
  IdentityFile /root/john
  IdentitiesOnly yes
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
  LogLevel ERROR
  User scientist
"""
TIMED = """
for _ in $(seq {rounds}); do
  for host in direct through; do
    began=$EPOCHREALTIME; {command}; echo "$host ${{began/./}} ${{EPOCHREALTIME/./}}"
  done
done
"""


def benchmarks(stack: Stack, john: httpx2.Client, sizes: Sizes) -> dict[str, Callable[[], Row]]:
    """Against the same container's sshd without the door, in turns."""
    return {
        "ssh set-up": partial(set_up, stack, john, sizes),
        "ssh throughput": partial(throughput, stack, john, sizes),
        "ssh sessions": partial(sessions, stack, john, sizes),
    }


def set_up(stack: Stack, john: httpx2.Client, sizes: Sizes) -> Row:
    """From the command until what it ran has ended."""
    with workstation(stack, john) as box:
        through, direct = timed(box, sizes.rounds, "ssh $host true")
    return row("SSH connection through the door / direct", through, direct, "<= 2")


def throughput(stack: Stack, john: httpx2.Client, sizes: Sizes) -> Row:
    """Into a container, in MB (10⁶ bytes) a second."""
    size = f"{sizes.ssh_mb}000000"
    with workstation(stack, john) as box:
        times = timed(
            box, max(1, sizes.rounds // 2), f"head -c {size} /dev/zero | ssh $host 'cat >/dev/null'"
        )
    through, direct = ([sizes.ssh_mb / seconds for seconds in each] for each in times)
    return row(
        "SSH, MB/s into a container through the door / direct", through, direct, ">= 0.80", "MB/s"
    )


def sessions(stack: Stack, john: httpx2.Client, sizes: Sizes) -> Row:
    """What the door's memory is with many sessions open, and without."""
    with tidy(stack, john):
        running(john)
        before = memory_mb(stack)
        with ThreadPoolExecutor(1) as thread:  # this one's loop may be a browser's
            held = thread.submit(asyncio.run, _hold(stack, sizes.ssh_sessions)).result()
    what = f"{sizes.ssh_sessions} SSH sessions at the door, its memory / without"
    return Row(what, held, before, "<= 150 MB", "MB")


async def _hold(stack: Stack, count: int) -> float:
    key = asyncssh.read_private_key(str(stack.certs / "john.key"))
    opened = []
    try:
        for _ in range(count):
            client = await asyncssh.connect(
                stack.bind,
                stack.ssh_port,
                username=JOHN,
                client_keys=[key],
                known_hosts=None,
                agent_path=None,
                config=None,
            )
            await client.open_connection("bench-ssh", 22)
            opened.append(client)
        return await asyncio.to_thread(memory_mb, stack)
    finally:
        for client in opened:
            client.abort()


def memory_mb(stack: Stack) -> float:
    """Resident memory of the door's processes, in MB (10⁶ bytes)."""
    command = "cat /proc/[0-9]*/status 2>/dev/null | grep VmRSS"
    said = stack.compose("exec", "-T", "ssh-door", "sh", "-c", command, capture=True)
    return sum(map(int, re.findall(r"(\d+) kB", said))) * 1024 / 1e6


def running(john: httpx2.Client) -> int:
    """A container with SSH; the port of its sshd on this machine's address for containers."""
    path = order(john, "bench-ssh", 2, ssh=True)
    until_state(john, path, "running")
    address = john.get(path).json()["urls"]["jupyter"]
    return int(address.rstrip("/").rsplit(":", 1)[1]) + 2


@contextmanager
def workstation(stack: Stack, john: httpx2.Client) -> Iterator[Container]:
    """OpenSSH's client, on this machine's network, set up for both ways in."""
    builds.build(ROOT / "tests" / "system" / "harness" / "workstation", WORKSTATION)
    with tidy(stack, john):
        config = CONFIG.format(
            bind=stack.bind,
            port=stack.ssh_port,
            john=JOHN,
            address=stack.gateway,
            direct=running(john),
        )
        box = docker.from_env().containers.run(
            WORKSTATION, detach=True, network_mode="host", init=True
        )
        try:
            key = (stack.certs / "john.key").read_text()
            said(box, f"umask 077; mkdir -p /root/.ssh; cat > /root/john <<'KEY'\n{key}\nKEY")
            said(box, f"umask 077; cat > /root/.ssh/config <<'CONFIG'\n{config}\nCONFIG")
            until(lambda: box.exec_run(["ssh", "through", "true"])[0] == 0)
            yield box
        finally:
            box.remove(force=True)


def timed(box: Container, rounds: int, command: str) -> tuple[list[float], list[float]]:
    """Seconds that a command takes through the door, and direct."""
    lines = said(box, TIMED.format(rounds=rounds, command=command)).split("\n")
    took: dict[str, list[float]] = {"through": [], "direct": []}
    for host, began, ended in (line.split() for line in lines if line):
        took[host].append((int(ended) - int(began)) / 1e6)
    return took["through"], took["direct"]


def said(box: Container, script: str) -> str:
    """What a script prints. RuntimeError where it fails."""
    code, output = box.exec_run(["bash", "-ec", script])
    assert isinstance(output, bytes)
    if code:
        raise RuntimeError(output.decode()[-300:])
    return output.decode()
