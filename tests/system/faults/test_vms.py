"""VMs that restart, freeze, forget or vanish: what ran goes on, and somebody is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from harness.fleet import TestVm
from harness.injury import crash_engine, lose_power
from harness.people import JOHN, LONG_S, Person, wait_until
from stack import Stack

REASON = "The machine burnt down."


@pytest.mark.parametrize("happens", [lose_power, crash_engine])
def test_what_ran_on_a_vm_that_restarted_runs_again_in_its_place(
    vm_a: TestVm, jane: Person, running: dict[str, Any], happens: Callable[[TestVm], None]
) -> None:
    happens(vm_a)
    wait_until(
        lambda: jane.seen(running)["started_at"] != running["started_at"],
        "it was started again",
        LONG_S,
    )
    again = jane.becomes(running, "it runs again", state="running")
    assert (again["stop_reason"], again["urls"]) == ("vm_restarted", running["urls"])
    assert jane.answers(again)


def test_a_start_waits_for_a_vm_that_falls_silent(vm_a: TestVm, jane: Person) -> None:
    first = jane.settled(jane.deploy("first")["id"])  # its image is there
    jane.act(first["id"], "stop")
    jane.becomes(first, "it is stopped", state="stopped")
    jane.act(first["id"], "start")
    vm_a.container.pause()
    try:
        wait_until(lambda: jane.seen(first)["trouble"], "it says what it waits for", LONG_S)
        waits = jane.seen(first)
        assert (waits["trouble"]["code"], waits["error"]) == ("vm_unreachable", None)
    finally:
        vm_a.container.unpause()
    jane.becomes(first, "it runs", state="running", trouble=None)


def test_a_container_that_is_paused_is_told_and_a_restart_helps(
    vm_a: TestVm, jane: Person, running: dict[str, Any]
) -> None:
    vm_a.run("docker", "pause", f"portal-{running['id']}")
    wait_until(lambda: jane.seen(running)["trouble"], "it is told", LONG_S)
    assert jane.seen(running)["trouble"]["code"] == "paused"
    jane.act(running["id"], "restart")
    again = jane.becomes(running, "it runs again", state="running", trouble=None)
    assert jane.answers(again)


def test_what_was_stopped_and_is_started_by_hand_is_stopped_again(
    vm_a: TestVm, jane: Person, running: dict[str, Any]
) -> None:
    jane.act(running["id"], "stop")
    jane.becomes(running, "it is stopped", state="stopped")
    vm_a.run("docker", "start", f"portal-{running['id']}")
    jane.becomes(running, "it is stopped again", state="stopped", stop_reason="not_wanted")
    assert vm_a.run("docker", "ps", "-q") == ""


def test_a_followed_log_goes_on_when_the_vms_clock_is_set_back(
    vm_a: TestVm, jane: Person, running: dict[str, Any]
) -> None:
    path = vm_a.run("docker", "inspect", "--format", "{{.LogPath}}", f"portal-{running['id']}")

    def say(words: str, at: str) -> None:
        """As the engine writes it: a container's clock is that of the machine of this test."""
        line = json.dumps({"log": f"{words}\n", "stream": "stderr", "time": at})
        vm_a.run("sh", "-c", f"printf '%s\\n' '{line}' >> {path}")

    follow = f"/api/v1/deployments/{running['id']}/logs?tail=1&follow=true"
    with jane.http.stream("GET", follow) as answer:
        lines = answer.iter_lines()
        heard = [next(lines)]
        say("set back", "2020-01-01T00:00:00.1Z")
        heard.append(next(line for line in lines if "set back" in line))
        say("goes on", "2020-01-01T00:00:00.2Z")
        heard.append(next(lines))
    assert [line.partition(" ")[2] for line in heard[1:]] == ["set back", "goes on"]


def test_a_kernel_that_needs_too_much_memory_is_told_while_the_server_runs(
    vm_a: TestVm, jane: Person
) -> None:
    made = jane.settled(jane.deploy("hungry", memory_gb=0.5)["id"])
    greedy = "x = bytearray(2 * 10**9)"
    with pytest.raises(RuntimeError):
        vm_a.run("docker", "exec", f"portal-{made['id']}", "notebook-python", "-c", greedy)
    wait_until(lambda: jane.seen(made)["trouble"], "it is told", LONG_S)
    told = jane.seen(made)
    assert (told["state"], told["trouble"]["code"]) == ("running", "killed_for_memory")
    assert jane.answers(told)


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
        john.becomes(made, "it is seen to be away", unreachable=True)
        stack.admin("vm", "remove", "--lost", "vm-doomed", "--reason", REASON)
        ended = john.becomes(made, "it is stopped", state="stopped")
        assert (ended["stop_reason"], ended["stop_note"]) == ("vm_lost", REASON)
        john.act(made["id"], "start")
        elsewhere = john.becomes(made, "it runs elsewhere", state="running")
        assert elsewhere["vm"] == "vm-a"
    finally:
        doomed.container.start()
    doomed.wait_for_engine()
    name = f"portal-{made['id']}"
    doomed.run("docker", "start", name)  # as an engine would that restarts containers itself
    place = ("--engine", doomed.engine_url, "--address", doomed.address)
    stack.admin("vm", "add", "vm-doomed", *place, "--owner", JOHN)
    wait_until(lambda: name not in doomed.run("docker", "ps", "-a"), "it is removed", LONG_S)
    assert john.answers(elsewhere)


HARMS = (
    "rm -rf work && ln -s /nowhere work",
    "rm -rf .ipython && echo no folder > .ipython",
    "rm -rf .portal && echo no folder > .portal",
    "mkdir -p .local && rm -rf .local/share && mkdir -m 0 .local/share",
    # Settings that somebody brought from another machine: another address, and one that ends it.
    "mkdir -p .jupyter && echo 'c.ServerApp.base_url = \"/hub/\"' > .jupyter/jupyter_lab_config.py",
    "echo 'c.ServerApp.port = \"none\"' > .jupyter/jupyter_config.py",
)


def test_whatever_is_wrong_with_a_home_folder_its_notebook_starts(
    vm_a: TestVm, jane: Person, running: dict[str, Any]
) -> None:
    mounts = vm_a.run(
        "docker", "inspect", f"portal-{running['id']}", "--format", "{{json .Mounts}}"
    )
    [home] = [
        each["Source"] for each in json.loads(mounts) if each["Destination"].startswith("/home")
    ]
    jane.act(running["id"], "stop")
    jane.becomes(running, "it is stopped", state="stopped")
    vm_a.run("sh", "-c", f"cd {home} && {' && '.join(HARMS)}")
    try:
        jane.act(running["id"], "start")
        again = jane.becomes(running, "it runs all the same", state="running")
        assert jane.answers(again)
        log = jane.http.get(f"/api/v1/deployments/{running['id']}/logs").text
        assert "The home folder has a problem" in log
    finally:
        vm_a.run("sh", "-c", f"cd {home} && rm -rf work .jupyter .ipython .portal .local")
