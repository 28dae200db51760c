"""A VM loses its power in the middle of each kind of work: it is done all the same."""

from __future__ import annotations

from collections.abc import Callable

from harness import checker
from harness.fleet import TestVm
from harness.injury import lose_power
from harness.people import LONG_S, Person, wait_until
from stack import Stack

ACTIONS = {"stop": "stopped", "start": "running", "restart": "running"}


def test_whatever_is_asked_for_is_done_when_the_power_is_back(
    stack: Stack, john: Person, johns: Callable[[str], TestVm]
) -> None:
    vm = johns("vm-power")
    made = john.deploy("endures")
    wait_until(lambda: john.seen(made)["progress"], "it downloads", LONG_S)
    lose_power(vm)
    john.becomes(made, "it runs", state="running", trouble=None)
    for action, state in ACTIONS.items():
        john.act(made["id"], action)
        lose_power(vm)
        john.becomes(made, f"{state} after {action}", state=state, trouble=None)
        assert checker.agreed(stack, vm) == []
    second = john.deploy("starts")
    wait_until(lambda: john.seen(second)["state"] == "starting", "it starts", LONG_S)
    lose_power(vm)
    both = (made, second)
    # By their answers: the first counts as running until the portal has seen that it is not.
    wait_until(lambda: all(john.answers(john.seen(each)) for each in both), "both answer", LONG_S)
    for each in both:
        john.http.delete(f"/api/v1/deployments/{each['id']}").raise_for_status()
    lose_power(vm)
    wait_until(lambda: not john.http.get("/api/v1/deployments").json(), "both are gone", LONG_S)
    assert checker.agreed(stack, vm) == []


def test_what_ran_on_an_engine_without_a_default_network_runs_again_after_a_restart(
    stack: Stack, john: Person, johns: Callable[[str], TestVm]
) -> None:
    vm = johns("vm-bare")
    vm.stop_engine()
    vm.write("/etc/docker/daemon.json", '{"bridge": "none"}')
    vm.start_engine()
    made = john.settled(john.deploy("endures")["id"])
    assert made["state"] == "running", made
    vm.stop_engine()  # in order: containers end by themselves, as if somebody had shut them down
    vm.start_engine()
    again = john.becomes(made, "it runs again", stop_reason="vm_restarted", state="running")
    assert john.answers(again)
    assert checker.agreed(stack, vm) == []
