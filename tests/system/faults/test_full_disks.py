"""The disk of a VM, or the portal's own, is full: it is said, what runs goes on, and room helps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import docker
import httpx2
import pytest
from docker.models.containers import Container
from harness import checker
from harness.fleet import TestVm
from harness.people import LONG_S, Person, wait_until
from stack import Stack

IMAGES_MB = 1500
"""For an engine with one image and little else."""
LEFT_MB = 100
"""Less than the image needs."""
FILL = (
    "head -c $(($(df --output=avail -k {0} | tail -1) - {1} * 1024))K /dev/zero > {0}/filler; true"
)
SERVICES = ("authz", "api", "ui", "worker")
SMALL = """
services:
{services}
volumes:
  small: {{external: true, name: {volume}}}
"""
ROOM_MB = 8
WRITES = 2_000
"""At most so many until a database with no room says so: what is in its files is used first."""


def test_a_full_disk_of_a_vm_is_said_and_what_is_asked_for_is_done_once_there_is_room(
    stack: Stack, john: Person, johns: Callable[..., TestVm]
) -> None:
    vm = johns("vm-full", f"--tmpfs=/var/lib/docker:rw,exec,size={IMAGES_MB}m")

    def fill(left_mb: int) -> None:
        vm.run("sh", "-c", FILL.format("/var/lib/docker", left_mb))

    fill(LEFT_MB)
    first = john.settled(john.deploy("first")["id"])
    assert (first["state"], first["error"]["code"]) == ("failed", "disk_full")
    make_room(vm)
    john.act(first["id"], "start")
    john.becomes(first, "it runs", state="running", error=None)

    fill(0)
    assert john.answers(john.seen(first))
    second = john.settled(john.deploy("second")["id"])
    assert (second["state"], second["error"]["code"]) == ("failed", "disk_full")
    john.act(first["id"], "stop")
    john.becomes(first, "it is stopped on a full disk", state="stopped")
    john.http.delete(f"/api/v1/deployments/{second['id']}").raise_for_status()
    wait_until(lambda: len(john.http.get("/api/v1/deployments").json()) == 1, "it is removed")
    make_room(vm)
    john.act(first["id"], "start")
    again = john.becomes(first, "it runs again", state="running", error=None)
    assert john.answers(again)
    assert checker.agreed(stack, vm) == []


def make_room(vm: TestVm) -> None:
    vm.run("rm", "/var/lib/docker/filler")


@pytest.fixture
def disk(stack: Stack, tmp_path: Path) -> Iterator[Container]:
    """The portal's data on a disk of its own that is almost full; a container to reach it."""
    client = docker.from_env()
    volume = f"{stack.project}_small"
    with ExitStack() as undo:
        size = f"size={used_mb(stack) + ROOM_MB}m"
        client.volumes.create(volume, driver_opts={"type": "tmpfs", "device": "tmpfs", "o": size})
        undo.callback(client.volumes.get(volume).remove, force=True)
        helper = client.containers.run(
            "container-portal:dev",
            ["sleep", "infinity"],
            entrypoint="",
            user="0",
            init=True,
            detach=True,
            volumes={f"{stack.project}_data": {"bind": "/large"}, volume: {"bind": "/small"}},
        )
        undo.callback(helper.remove, force=True)
        override = tmp_path / "small.yml"
        each = "\n".join(f'  {name}: {{volumes: ["small:/var/lib/portal"]}}' for name in SERVICES)
        override.write_text(SMALL.format(services=each, volume=volume))
        options = ("-d", "--wait", "--no-deps", *SERVICES)
        stack.compose("stop", *SERVICES, capture=True)
        undo.callback(stack.compose, "up", *options, capture=True)
        undo.callback(run, helper, "rm -rf /small/filler && cp -a /small/. /large/")
        run(helper, "cp -a /large/. /small/")
        small = replace(stack, files=(*stack.files, str(override)))
        small.compose("up", *options, capture=True)
        undo.callback(small.compose, "stop", *SERVICES, capture=True)
        yield helper


def used_mb(stack: Stack) -> int:
    said = stack.compose("exec", "-T", "api", "du", "-sm", "/var/lib/portal", capture=True)
    return int(said.split()[0])


def run(container: Container, command: str) -> None:
    code, said = container.exec_run(["sh", "-c", command])
    assert code == 0, said


def test_a_full_disk_of_the_portal_is_said_and_notebooks_go_on(
    stack: Stack, vm_a: TestVm, jane: Person, ray: Person, disk: Container
) -> None:
    made = jane.settled(jane.deploy("endures")["id"])
    assert made["state"] == "running", made
    run(disk, "cat /dev/zero > /small/filler 2>/dev/null; sync")
    refused = next(answer for answer in writes(ray) if answer.is_error)
    assert (refused.status_code, refused.json()["code"]) == (503, "database_full")
    assert jane.answers(made)
    assert jane.seen(made)["state"] == "running"
    assert jane.http.get("/containers").status_code == httpx2.codes.OK

    run(disk, "rm /small/filler")
    wait_until(lambda: not write(ray, 0).is_error, "there is room")
    ray.http.delete("/api/v1/quotas/group", params={"key": "nobody-here"}).raise_for_status()
    jane.act(made["id"], "restart")
    wait_until(lambda: jane.seen(made)["started_at"] != made["started_at"], "it restarts", LONG_S)
    jane.becomes(made, "it runs", state="running", trouble=None)
    assert checker.agreed(stack, vm_a) == []


def writes(ray: Person) -> Iterator[httpx2.Response]:
    yield from (write(ray, number) for number in range(WRITES))


def write(ray: Person, number: int) -> httpx2.Response:
    """Something small that is recorded, and concerns nobody."""
    body = {"gpus": number % 8}
    return ray.http.put("/api/v1/quotas/group", params={"key": "nobody-here"}, json=body)
