"""A registry that hangs in the middle of a download: only that download waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import docker
from docker.models.containers import Container
from harness.fleet import TestVm
from harness.people import LONG_S, Person, wait_until
from stack import Stack

SOON_S = 15


def registry(stack: Stack) -> Container:
    return docker.from_env().containers.get(f"{stack.project}-registry-1")


def test_while_the_registry_hangs_others_start_and_stop_and_a_download_can_be_given_up(
    stack: Stack,
    jane: Person,
    running: dict[str, Any],
    john: Person,
    johns: Callable[[str], TestVm],
) -> None:
    vm = johns("vm-fresh")
    made = john.deploy("waits")
    wait_until(lambda: john.seen(made)["progress"], "its download has begun", LONG_S)
    hangs = registry(stack)
    hangs.pause()
    try:
        began = time.monotonic()
        jane.act(running["id"], "restart")
        assert jane.settled(running["id"])["state"] == "running"
        assert john.seen(made)["state"] == "pulling"
        john.http.delete(f"/api/v1/deployments/{made['id']}").raise_for_status()
        john.settled(made["id"])
        assert time.monotonic() - began < SOON_S
    finally:
        hangs.unpause()
    again = john.settled(john.deploy("again")["id"])
    assert (again["state"], again["vm"]) == ("running", "vm-fresh")
    assert vm.run("docker", "ps", "-q", "--all").count("\n") == 1
