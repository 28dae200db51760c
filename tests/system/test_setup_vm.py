"""setup-vm.sh on fresh machines: first run, again, after a power cut, removal, bad input."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from datetime import timedelta
from pathlib import Path

import httpx2
import pki
import pytest
from harness.machines import Machine, Machines
from harness.people import Person, wait_until


@pytest.fixture(scope="module")
def debian_12(machines: Machines) -> Machine:
    return machines.add("debian-12", 212)


@pytest.fixture(scope="module")
def debian_13(machines: Machines) -> Machine:
    return machines.add("debian-13", 213)


def set_up(machines: Machines, machine: Machine, *arguments: str, **settings: str) -> str:
    done = machines.setup("--name", machine.name, *arguments, machine.address, **settings)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_a_dry_run_says_what_it_would_do_and_changes_nothing(
    machines: Machines, debian_12: Machine
) -> None:
    before = debian_12.run("dpkg -l | sha256sum; ls -R /etc | sha256sum")
    output = set_up(machines, debian_12, "--dry-run")
    assert "would   Docker Engine is installed" in output
    assert "nothing was changed" in output
    assert debian_12.run("dpkg -l | sha256sum; ls -R /etc | sha256sum") == before


@pytest.mark.parametrize(
    ("settings", "arguments", "code", "words"),
    [
        ({"PORTAL_GATEWAYS": ""}, (), 2, "PORTAL_GATEWAYS is not set"),
        ({"PORTAL_GATEWAYS": "the-portal"}, (), 2, "'the-portal' is not an IPv4 address"),
        ({"PORTAL_EGRESS": "sometimes"}, (), 2, "open, proxy or none"),
        ({"PORTAL_SECRETS": "/nowhere"}, (), 2, "The worker's key is missing"),
        ({"PORTAL_VM_MIN_DISK_GB": "900000"}, (), 5, "GB are free below /var/lib"),
        ({}, ("--login", "omar"), 4, "may not use sudo without a password"),
        ({}, ("--login", "nobody-here"), 6, "refuses the administrator's login"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_work_is_said_before_anything_is_touched(
    machines: Machines,
    debian_12: Machine,
    settings: dict[str, str],
    arguments: tuple[str, ...],
    code: int,
    words: str,
) -> None:
    debian_12.run(
        "id omar 2>/dev/null || { useradd -m omar; cp -r /home/ray/.ssh "
        "/home/omar/; chown -R omar: /home/omar; }"
    )
    done = machines.setup("--name", debian_12.name, *arguments, debian_12.address, **settings)
    assert (done.returncode, words in done.stdout) == (code, True), done.stdout
    assert "no Docker" in debian_12.run("command -v dockerd || echo no Docker")


def test_a_registry_authority_that_expired_is_given_to_no_vm(
    machines: Machines, debian_12: Machine, tmp_path: Path
) -> None:
    secrets = shutil.copytree(machines.stack.home / "secrets", tmp_path / "secrets")
    old = pki.Authority("Old").person("old", None, days=1, starts=timedelta(days=-2))
    (secrets / "registry_ca").unlink()
    (secrets / "registry_ca").write_bytes(pki.pem(old.certificate))
    done = machines.setup("--name", debian_12.name, debian_12.address, PORTAL_SECRETS=str(secrets))
    assert (done.returncode, "has expired or is not a certificate" in done.stdout) == (
        2,
        True,
    ), done.stdout


def test_a_name_that_does_not_resolve(machines: Machines, debian_12: Machine) -> None:
    done = machines.setup("no-such-host.invalid")
    assert (done.returncode, "its name does not resolve" in done.stdout) == (6, True), done.stdout


def test_a_distribution_that_is_not_supported(machines: Machines, debian_12: Machine) -> None:
    debian_12.run(
        "cp -L /etc/os-release /root/kept; sed 's/^VERSION_ID=.*/VERSION_ID=10/' "
        "/root/kept > /etc/os-release"
    )
    try:
        done = machines.setup("--name", debian_12.name, debian_12.address)
    finally:
        debian_12.run("cp /root/kept /etc/os-release")
    assert (done.returncode, "debian 10 is not supported" in done.stdout) == (3, True), done.stdout


def test_the_plug_is_pulled_half_way_and_the_next_run_finishes(
    machines: Machines, debian_12: Machine
) -> None:
    command = machines.command("--name", debian_12.name, debian_12.address)
    with subprocess.Popen(
        command,
        env=machines.environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as running:
        assert running.stdout is not None
        output = ""
        for line in running.stdout:
            output += line
            if "Docker Engine is installed ..." in line:
                wait_until(
                    lambda: (
                        "docker.io"
                        in debian_12.run("ls /var/lib/dpkg/info /var/cache/apt/archives")
                    ),
                    "it began",
                )
                break
        debian_12.container.kill()
        os.killpg(running.pid, signal.SIGTERM)
    assert "Docker Engine is installed ..." in output, output
    debian_12.container.start()
    debian_12.wait()
    assert "takes containers" in set_up(machines, debian_12)


@pytest.mark.parametrize("which", ["debian_12", "debian_13"])
def test_a_fresh_machine_becomes_a_vm_that_runs_a_notebook(
    machines: Machines, jane: Person, request: pytest.FixtureRequest, which: str
) -> None:
    machine: Machine = request.getfixturevalue(which)
    output = set_up(machines, machine)
    assert "takes containers" in output or "is in the fleet" in output
    others = [vm["name"] for vm in machines.vms() if vm["name"] != machine.name]
    for name in others:
        machines.stack.admin("vm", "drain", name)
    try:
        made = jane.deploy(f"on-{machine.name}")
        settled = jane.settled(made["id"])
        assert (settled["state"], settled["vm"]) == ("running", machine.name)
        answer = jane.http.get(f"https://{machines.stack.host}:10000/api")
        assert answer.status_code == httpx2.codes.OK
    finally:
        for name in others:
            machines.stack.admin("vm", "activate", name)


@pytest.mark.parametrize("which", ["debian_12", "debian_13"])
def test_again_it_has_nothing_to_do(
    machines: Machines, request: pytest.FixtureRequest, which: str
) -> None:
    machine: Machine = request.getfixturevalue(which)
    set_up(machines, machine)
    before = machine.run(
        "find /etc /usr/local -type f -newermt '-1 hour' -printf '%p %T@\\n' | sort | sha256sum"
    )
    output = set_up(machines, machine)
    assert "nothing to do" in output
    assert (
        machine.run(
            "find /etc /usr/local -type f -newermt '-1 hour' -printf '%p %T@\\n' | sort | sha256sum"
        )
        == before
    )


def test_settings_that_docker_refuses_are_put_back_and_it_runs_on(
    machines: Machines, debian_13: Machine
) -> None:
    """A flag of the unit and the same in daemon.json: dockerd does not start with both."""
    unit = "/etc/systemd/system/docker.service.d/flags.conf"
    flags = "/usr/sbin/dockerd -H fd:// --log-driver=journald"
    debian_13.run(
        f"mkdir -p $(dirname {unit})"
        f" && printf '[Service]\\nExecStart=\\nExecStart={flags}\\n' > {unit}"
        " && echo '{}' > /etc/docker/daemon.json && systemctl daemon-reload"
        " && systemctl restart docker"
    )
    try:
        done = machines.setup("--name", debian_13.name, debian_13.address)
        assert done.returncode == 7, done.stdout
        assert "Docker refuses these settings; the previous ones are back in place." in done.stdout
        assert (
            debian_13.run("cat /etc/docker/daemon.json; systemctl is-active docker")
            == "{}\nactive\n"
        )
    finally:
        debian_13.run(f"rm {unit} && systemctl daemon-reload && systemctl restart docker")
    set_up(machines, debian_13)


def test_what_was_set_up_is_undone_and_docker_stays(machines: Machines, debian_13: Machine) -> None:
    set_up(machines, debian_13)
    output = set_up(machines, debian_13, "--remove")
    assert "removed the gate" in output
    assert debian_13.name not in [vm["name"] for vm in machines.vms()]
    left = debian_13.run(
        "getent passwd portal; ls /usr/local/bin /usr/local/sbin /etc/container-portal; "
        "nft list tables | grep portal; docker version --format up",
        check=False,
    )
    assert "portal" not in left.replace("/etc/container-portal': No such", "")
    assert "up" in left
    assert "nothing to do" in set_up(machines, debian_13, "--remove")
