"""VMs that restart, freeze, forget or vanish: what ran goes on, and somebody is told."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import docker
import pytest
from harness.fleet import Fleet, TestVm
from harness.people import Person, wait_until
from stack import Stack

LIMIT_S = 90
REASON = "The machine burnt down."


@pytest.fixture
def running(vm_a: TestVm, jane: Person) -> dict[str, Any]:
    """Jane's notebook, which runs."""
    made = jane.settled(jane.deploy("notebook")["id"])
    assert made["state"] == "running", made
    return made


def seen(jane: Person, made: dict[str, Any]) -> dict[str, Any]:
    """The deployment as it is now."""
    answer: dict[str, Any] = jane.http.get(f"/api/v1/deployments/{made['id']}").json()
    return answer


def becomes(jane: Person, made: dict[str, Any], what: str, **values: Any) -> dict[str, Any]:
    """Wait until it has these values."""

    def so() -> bool:
        now = seen(jane, made)
        return all(now[key] == value for key, value in values.items())

    wait_until(so, what, LIMIT_S)
    return seen(jane, made)


def answers(jane: Person, made: dict[str, Any]) -> bool:
    """Whether the notebook answers at its port."""
    return jane.http.get(f"{made['urls']['jupyter']}api/status").status_code == 200


def lose_power(vm: TestVm) -> None:
    vm.container.kill()
    vm.container.start()
    vm.wait_for_engine()


def crash_engine(vm: TestVm) -> None:
    vm.run("sh", "-c", "kill -9 $(cat /var/run/docker.pid)")
    vm.run("sh", "-c", "pkill -9 containerd || true")
    vm.start_engine()


@pytest.mark.parametrize("happens", [lose_power, crash_engine])
def test_what_ran_on_a_vm_that_restarted_runs_again_in_its_place(
    vm_a: TestVm, jane: Person, running: dict[str, Any], happens: Callable[[TestVm], None]
) -> None:
    happens(vm_a)
    wait_until(
        lambda: seen(jane, running)["started_at"] != running["started_at"],
        "it was started again",
        LIMIT_S,
    )
    again = becomes(jane, running, "it runs again", state="running")
    assert (again["stop_reason"], again["urls"]) == ("vm_restarted", running["urls"])
    assert answers(jane, again)


def test_a_start_waits_for_a_vm_that_falls_silent(vm_a: TestVm, jane: Person) -> None:
    first = jane.settled(jane.deploy("first")["id"])  # its image is there
    jane.act(first["id"], "stop")
    becomes(jane, first, "it is stopped", state="stopped")
    jane.act(first["id"], "start")
    vm_a.container.pause()
    try:
        wait_until(lambda: seen(jane, first)["trouble"], "it says what it waits for", LIMIT_S)
        waits = seen(jane, first)
        assert (waits["trouble"]["code"], waits["error"]) == ("vm_unreachable", None)
    finally:
        vm_a.container.unpause()
    becomes(jane, first, "it runs", state="running", trouble=None)


def test_a_container_that_is_paused_is_told_and_a_restart_helps(
    vm_a: TestVm, jane: Person, running: dict[str, Any]
) -> None:
    vm_a.run("docker", "pause", f"portal-{running['id']}")
    wait_until(lambda: seen(jane, running)["trouble"], "it is told", LIMIT_S)
    assert seen(jane, running)["trouble"]["code"] == "paused"
    jane.act(running["id"], "restart")
    again = becomes(jane, running, "it runs again", state="running", trouble=None)
    assert answers(jane, again)


def test_what_was_stopped_and_is_started_by_hand_is_stopped_again(
    vm_a: TestVm, jane: Person, running: dict[str, Any]
) -> None:
    jane.act(running["id"], "stop")
    becomes(jane, running, "it is stopped", state="stopped")
    vm_a.run("docker", "start", f"portal-{running['id']}")
    becomes(jane, running, "it is stopped again", state="stopped", stop_reason="not_wanted")
    assert vm_a.run("docker", "ps", "-q") == ""


def test_a_kernel_that_needs_too_much_memory_is_told_while_the_server_runs(
    vm_a: TestVm, jane: Person
) -> None:
    made = jane.settled(jane.deploy("hungry", memory_gb=0.5)["id"])
    greedy = "x = bytearray(2 * 10**9)"
    with pytest.raises(RuntimeError):
        vm_a.run("docker", "exec", f"portal-{made['id']}", "notebook-python", "-c", greedy)
    wait_until(lambda: seen(jane, made)["trouble"], "it is told", LIMIT_S)
    told = seen(jane, made)
    assert (told["state"], told["trouble"]["code"]) == ("running", "killed_for_memory")
    assert answers(jane, told)


@pytest.fixture
def johns(fleet: Fleet, stack: Stack, john: Person) -> Iterator[Callable[[str], TestVm]]:
    """A VM of John's own, by this name."""
    names: list[str] = []

    def add(name: str) -> TestVm:
        names.append(name)
        vm = fleet.add(name)
        place = ("--engine", vm.engine_url, "--address", vm.address, "--owner", "edipi:2345678901")
        stack.admin("vm", "add", name, *place)
        return vm

    yield add
    john.remove_all()
    for name in names:
        stack.admin("vm", "remove", name, "--if-there")


def test_a_port_that_something_else_holds_is_left_for_another(
    stack: Stack, john: Person, johns: Callable[[str], TestVm]
) -> None:
    vm = johns("vm-port")
    where = f'Listen => 1, ReuseAddr => 1, LocalAddr => "{vm.address}", LocalPort => 10100'
    listen = f"my $held = IO::Socket::INET->new({where}) or die; sleep 600"
    vm.run("sh", "-c", f"perl -MIO::Socket::INET -e '{listen}' >/dev/null 2>&1 &")
    made = john.settled(john.deploy("elsewhere")["id"])
    assert made["state"] == "running", made
    assert made["urls"]["jupyter"] == f"https://{stack.host}:10110/"
    health = json.loads(stack.admin("health"))
    assert [each["subject"] for each in health if each["check"] == "port"] == ["vm-port:10100"]


def test_a_vm_that_is_lost_gives_everything_back_and_is_cleaned_when_it_returns(
    stack: Stack, vm_a: TestVm, john: Person, johns: Callable[[str], TestVm]
) -> None:
    doomed = johns("vm-doomed")
    made = john.settled(john.deploy("there")["id"])
    assert (made["state"], made["vm"]) == ("running", "vm-doomed")
    doomed.container.kill()
    try:
        becomes(john, made, "it is seen to be away", unreachable=True)
        stack.admin("vm", "remove", "--lost", "vm-doomed", "--reason", REASON)
        ended = becomes(john, made, "it is stopped", state="stopped")
        assert (ended["stop_reason"], ended["stop_note"]) == ("vm_lost", REASON)
        john.act(made["id"], "start")
        elsewhere = becomes(john, made, "it runs elsewhere", state="running")
        assert elsewhere["vm"] == "vm-a"
    finally:
        doomed.container.start()
    doomed.wait_for_engine()
    name = f"portal-{made['id']}"
    doomed.run("docker", "start", name)  # as an engine would that restarts containers itself
    place = ("--engine", doomed.engine_url, "--address", doomed.address)
    stack.admin("vm", "add", "vm-doomed", *place, "--owner", "edipi:2345678901")
    wait_until(lambda: name not in doomed.run("docker", "ps", "-a"), "it is removed", LIMIT_S)
    assert answers(john, elsewhere)


def test_a_worker_that_was_killed_is_followed_at_once(
    stack: Stack, vm_a: TestVm, jane: Person, running: dict[str, Any]
) -> None:
    jane.act(running["id"], "stop")
    [worker] = docker.from_env().containers.list(
        filters={
            "label": [
                f"com.docker.compose.project={stack.project}",
                "com.docker.compose.service=worker",
            ]
        }
    )
    worker.kill()
    worker.start()
    started = time.monotonic()
    becomes(jane, running, "it is stopped", state="stopped")
    print(f"stopped {time.monotonic() - started:.1f} s after the worker's start")
