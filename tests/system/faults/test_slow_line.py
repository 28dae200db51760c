"""A VM at the end of a slow line is used like any other, only later."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from harness.fleet import TestVm
from harness.people import JOHN, LONG_S, Person, wait_until
from harness.slow_line import slow_line
from stack import Stack

DELAY_S = 0.3
"""Each way, so that an answer takes 0.6 s: a satellite."""


def test_everything_works_at_the_end_of_a_slow_line(
    stack: Stack, john: Person, johns: Callable[[str], TestVm], record_property: Callable[..., None]
) -> None:
    vm = johns("vm-far")
    stack.admin("vm", "remove", "vm-far")
    owner = ("--owner", JOHN)
    with slow_line(stack, vm, DELAY_S) as engine:
        stack.admin("vm", "add", "vm-far", "--engine", engine, "--address", vm.address, *owner)
        wait_until(lambda: is_reached(stack, "vm-far"), "the portal reaches it", LONG_S)
        started = time.monotonic()
        made = john.settled(john.deploy("far-away")["id"])
        assert made["state"] == "running", made
        record_property("a start over 0.6 s", f"{time.monotonic() - started:.1f} s")
        assert john.answers(made)
        for action, state in (("restart", "running"), ("stop", "stopped"), ("start", "running")):
            john.act(made["id"], action)
            john.becomes(made, f"{action} is done", state=state, trouble=None)
        john.remove_all()
        stack.admin("vm", "remove", "vm-far")


def is_reached(stack: Stack, name: str) -> bool:
    fleet = json.loads(stack.admin("vm", "list"))
    return any(vm["reachable"] for vm in fleet if vm["name"] == name)
