"""SSH into a container: with the card's key, through PKCS#11 too, and with added keys."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from typing import Any

import builds
import docker
import pytest
import wording
from docker.models.containers import Container
from harness import HARNESS
from harness.fleet import TestVm
from harness.people import JANE, Person, photograph, wait_until
from playwright.sync_api import Page, expect
from stack import Stack

WORKSTATION = "container-portal-test-workstation:dev"
MODULE = "/usr/lib/softhsm/libsofthsm2.so"
ALWAYS = "StrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nConnectTimeout 5\nLogLevel ERROR"
ADDRESS = re.compile(r"(?<=@)[0-9.]+:[0-9]+")
AT_THE_DOOR = "ssh-door:2222"
"""As the workstation, which is on the portal's network, reaches what people reach by its name."""
CARD = "IdentityFile /root/jane\nIdentitiesOnly yes"
LAPTOP = "IdentityFile /root/laptop\nIdentitiesOnly yes"
EDITOR = """bash -s <<'SCRIPT' &
uname -sm; mkdir -p ~/.editor-server; cd ~/.editor-server; echo "the editor's server" > index.html
exec timeout 30 python3 -m http.server 9876 --bind 127.0.0.1
SCRIPT
ask='exec 3<>/dev/tcp/127.0.0.1/9876; echo "GET / HTTP/1.0" >&3; echo >&3; cat <&3'
for _ in $(seq 100); do
  said=$(bash -c "$ask" 2>/dev/null) || true
  case $said in *editor*) break ;; esac
  sleep 0.2
done
echo "$said"; kill $! || true
"""
PKCS11 = f"PKCS11Provider {MODULE}"
MAKE_CARD = """
softhsm2-util --init-token --free --label card --pin 123456 --so-pin 123456
openssl pkcs8 -topk8 -nocrypt -in /root/jane -out /root/jane.p8
softhsm2-util --import /root/jane.p8 --token card --label jane --id 01 --pin 123456
rm /root/jane.p8
printf '#!/bin/sh\\necho 123456\\n' > /root/pin
chmod 700 /root/pin
"""


@pytest.fixture(scope="module")
def workstation(stack: Stack) -> Iterator[Container]:
    """On the portal's network, with keys as files, Jane's also on a (software) card."""
    builds.build(HARNESS / "workstation", WORKSTATION)
    network = f"{stack.project}_portal"
    box = docker.from_env().containers.run(WORKSTATION, detach=True, network=network, init=True)
    for name in ("jane", "john"):
        key = (stack.certs / f"{name}.key").read_text()
        run(box, f"umask 077; cat > /root/{name} <<'KEY'\n{key}\nKEY")
    run(box, MAKE_CARD)
    run(box, "ssh-keygen -q -t ed25519 -N '' -C laptop -f /root/laptop")
    yield box
    box.remove(force=True)


def run(box: Container, script: str, **environment: str) -> str:
    code, output = box.exec_run(["sh", "-ec", script], environment=environment)
    assert isinstance(output, bytes)
    said = output.decode()
    assert code == 0, said
    return said


def ssh(
    box: Container, made: dict[str, Any], config: str, command: str, *, options: str = ""
) -> str:
    """Run a command by what the page shows, with these lines in ~/.ssh/config."""
    return run(
        box,
        f"printf '%s\\n' {shlex.quote(ALWAYS)} {shlex.quote(config)} > /root/config\n"
        f"{shown(made).replace('ssh ', f'ssh -F /root/config {options} ', 1)} {command}",
        SSH_ASKPASS="/root/pin",
        SSH_ASKPASS_REQUIRE="force",
    )


def shown(made: dict[str, Any]) -> str:
    """The command on the container's card, with the door where the workstation reaches it."""
    return ADDRESS.sub(AT_THE_DOOR, str(made["ssh"]))


@pytest.fixture
def made(jane: Person, vm_a: TestVm, workstation: Container) -> dict[str, Any]:
    deployment = jane.settled(jane.deploy("shell", ssh=True)["id"])
    assert deployment["state"] == "running", deployment["error"]
    wait_for_sshd(workstation, vm_a)
    return deployment


def wait_for_sshd(box: Container, vm: TestVm) -> None:
    knock = ["bash", "-c", f'read -rn 4 < /dev/tcp/{vm.address}/10002 && [ "$REPLY" = SSH- ]']
    wait_until(lambda: box.exec_run(knock)[0] == 0, "sshd answers", 20)


def test_the_cards_key_opens_it_and_another_persons_does_not(
    made: dict[str, Any], workstation: Container
) -> None:
    assert made["ssh"].startswith(f"ssh -J {JANE}@")
    assert ssh(workstation, made, CARD, "hostname") == "shell\n"
    with pytest.raises(AssertionError, match="Permission denied"):
        ssh(workstation, made, CARD.replace("jane", "john"), "true")


def test_the_card_itself_opens_it_through_pkcs11(
    made: dict[str, Any], workstation: Container
) -> None:
    assert ssh(workstation, made, PKCS11, "hostname") == "shell\n"


def test_a_session_has_the_notebooks_python_and_no_secret(
    made: dict[str, Any], workstation: Container
) -> None:
    assert (
        ssh(
            workstation,
            made,
            CARD,
            "'python -c \"import numpy, sys; print(sys.prefix)\"'",
        )
        == "/home/scientist/.venv-ml-cpu\n"
    )
    assert "PORTAL" not in ssh(workstation, made, CARD, "env")


def test_files_go_in_and_out(made: dict[str, Any], workstation: Container, vm_a: TestVm) -> None:
    config = wording.ssh_config("shell", shown(made), MODULE)
    run(
        workstation,
        f"mkdir -p /root/.ssh; cat > /root/.ssh/config <<'X'\n{config}\nHost *\n{ALWAYS}\nX\n"
        "chmod 600 /root/.ssh/config",
    )
    pin = {"SSH_ASKPASS": "/root/pin", "SSH_ASKPASS_REQUIRE": "force"}
    run(
        workstation,
        "echo data > /tmp/in; scp /tmp/in shell:work/in; scp shell:work/in /tmp/out\n"
        "cmp /tmp/in /tmp/out\n"
        "echo 'rename work/in work/moved' | sftp -q shell\n"
        "rsync -a shell:work/moved /tmp/synced; cmp /tmp/in /tmp/synced",
        **pin,
    )


def test_an_editor_starts_its_server_inside_and_reaches_it(
    made: dict[str, Any], workstation: Container
) -> None:
    """As VS Code does: a shell without a terminal that is fed a script, a port led through it."""
    lead = "-T -L 9876:127.0.0.1:9876"
    assert "the editor's server" in ssh(workstation, made, CARD, EDITOR, options=lead)


def test_a_key_that_is_added_counts_from_the_next_start(
    made: dict[str, Any], workstation: Container, jane: Person, vm_a: TestVm
) -> None:
    public = run(workstation, "cat /root/laptop.pub").strip()
    keys = (
        jane.http.post("/api/v1/ssh-keys", json={"name": "Laptop", "key": public})
        .raise_for_status()
        .json()
    )
    *cards, laptop = [(key["name"], key["card"]) for key in keys]
    # Of more than one card, where other tests have signed in with another of hers.
    assert (laptop, set(cards)) == (("Laptop", False), {("Your card", True)})
    try:
        with pytest.raises(AssertionError, match="Permission denied"):
            ssh(workstation, made, LAPTOP, "true")
        jane.act(made["id"], "restart")
        assert jane.settled(made["id"])["state"] == "running"
        wait_for_sshd(workstation, vm_a)
        assert ssh(workstation, made, LAPTOP, "hostname") == "shell\n"
    finally:
        jane.http.delete(
            "/api/v1/ssh-keys", params={"fingerprint": keys[-1]["fingerprint"]}
        ).raise_for_status()


def test_without_asking_there_is_no_ssh(jane: Person, vm_a: TestVm, workstation: Container) -> None:
    made = jane.settled(jane.deploy("plain")["id"])
    assert made["ssh"] == ""
    assert "10002" not in vm_a.run("docker", "ps", "--format", "{{.Ports}}")
    assert workstation.exec_run(["bash", "-c", f": < /dev/tcp/{vm_a.address}/10002"])[0] != 0


def test_the_page_shows_how_to_connect(
    made: dict[str, Any], stack: Stack, jane: Person, browser_of: Callable[..., Page]
) -> None:
    page = browser_of("jane")
    page.goto(f"{stack.url}/containers")
    page.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="SSH").click()
    expect(page.get_by_text("PKCS11Provider").first).to_be_visible()
    photograph(page, "ssh")
