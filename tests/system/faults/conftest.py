"""What faults happen to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from harness.fleet import Fleet, TestVm
from harness.people import JOHN, Person
from stack import Stack

if os.environ.get("PORTAL_FAULTS") != "all":
    collect_ignore = [
        "test_clock.py",
        "test_full_disks.py",
        "test_power.py",
        "test_publisher.py",
        "test_registry_hangs.py",
        "test_replaced_secrets.py",
        "test_slow_line.py",
    ]
    """Only `make faults` has the time for these."""


@pytest.fixture
def running(vm_a: TestVm, jane: Person) -> dict[str, Any]:
    """Jane's notebook, which runs."""
    made = jane.settled(jane.deploy("notebook")["id"])
    assert made["state"] == "running", made
    return made


@pytest.fixture
def johns(fleet: Fleet, stack: Stack, john: Person) -> Iterator[Callable[..., TestVm]]:
    """A VM of John's own, by this name, with options of `docker run`."""
    names: list[str] = []

    def add(name: str, *options: str) -> TestVm:
        names.append(name)
        vm = fleet.add(name, *options)
        place = ("--engine", vm.engine_url, "--address", vm.address, "--owner", JOHN)
        stack.admin("vm", "add", name, *place)
        return vm

    yield add
    john.remove_all()
    for name in names:
        stack.admin("vm", "remove", name, "--if-there")
