"""A registry that hangs: only downloads wait, and they can be given up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import docker
import pytest
from harness.fleet import TestVm
from harness.people import JOHN, LONG_S, Person, wait_until
from stack import Stack

DOWNLOADS = 6
SOON_S = 10
"""Far less than the two minutes that a download may be silent."""


@pytest.fixture
def hang(stack: Stack) -> Iterator[Callable[[], None]]:
    """From then on the registry takes connections and says nothing; afterwards it goes on."""
    registry = docker.from_env().containers.get(f"{stack.project}-registry-1")
    yield registry.pause
    registry.reload()
    if registry.status == "paused":
        registry.unpause()


def test_a_download_that_hangs_halfway_is_given_up_at_once_and_the_next_one_goes_through(
    stack: Stack, john: Person, johns: Callable[[str], TestVm], hang: Callable[[], None]
) -> None:
    vm = johns("vm-fresh")
    made = john.deploy("waits")
    wait_until(lambda: john.seen(made)["progress"], "its download has begun", LONG_S)
    hang()
    assert remove(john, made["id"]) < SOON_S
    docker.from_env().containers.get(f"{stack.project}-registry-1").unpause()
    again = john.settled(john.deploy("again")["id"])
    assert (again["state"], again["vm"]) == ("running", "vm-fresh")
    assert vm.run("docker", "ps", "-q", "--all").count("\n") == 1


def test_six_downloads_that_hang_delay_no_stop_on_their_vm(
    stack: Stack, john: Person, johns: Callable[[str], TestVm], hang: Callable[[], None]
) -> None:
    vm = johns("vm-busy")
    stack.admin("quota", "set", "--user", JOHN, f"--deployments={DOWNLOADS + 1}", "--memory-gb=20")
    runs = john.settled(john.deploy("runs")["id"])
    assert runs["state"] == "running", runs
    forget_image(vm)
    hang()
    waiting = [john.deploy(f"waits-{n}", memory_gb=0.5, cpus=0.1) for n in range(DOWNLOADS)]
    for each in waiting:
        john.becomes(each, "it downloads", state="pulling")
    began = time.monotonic()
    john.act(runs["id"], "stop")
    assert john.settled(runs["id"])["state"] == "stopped"
    print(f"stopped in {time.monotonic() - began:.1f} s beside {DOWNLOADS} downloads")
    assert time.monotonic() - began < SOON_S
    assert max(remove(john, each["id"]) for each in waiting) < SOON_S


def forget_image(vm: TestVm) -> None:
    """So that it is asked for again; what runs keeps its layers under another name."""
    [container] = vm.run("docker", "ps", "--quiet").split()
    name = vm.run("docker", "inspect", "--format", "{{.Config.Image}}", container).strip()
    vm.run("docker", "tag", name, "kept:1")
    vm.run("docker", "rmi", name)


def remove(john: Person, deployment_id: str) -> float:
    """Seconds until it is removed."""
    began = time.monotonic()
    john.http.delete(f"/api/v1/deployments/{deployment_id}").raise_for_status()
    john.settled(deployment_id)
    return time.monotonic() - began
