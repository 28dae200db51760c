"""The quick start, literally: docker compose up -d in streamlit-service/, to a notebook."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import builds
import docker
import httpx2
import pytest
from builds import HOST_CAS, ROOT
from harness.people import somebody
from harness.real_system import clear
from stack import Stack

FOLDER = ROOT / "streamlit-service"
HOST = "127.0.0.4"


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Beside a running portal: on an address, ports and a network of its own."""
    system = Stack(
        home=tmp_path_factory.mktemp("quickstart"),
        project="portal-quicktest",
        host=HOST,
        bind=HOST,
        registry_port=5743,
        registry_host="127.0.0.1:5743",
        subnet="172.30.95",
    )
    clear(system)
    builds.build_services(print)
    builds.ensure_base("ml-cpu")
    system.certs.mkdir()
    yield system
    run(system, "docker", "compose", "down", "--volumes")
    system.remove_what_users_had(homes=True)


def run(system: Stack, *command: str) -> str:
    settings = {
        "COMPOSE_PROJECT_NAME": system.project,
        "PORTAL_QUICKSTART": str(system.certs),
        "PORTAL_BIND": HOST,
        "PORTAL_USER_PORTS": "10000-10099",  # Jane's: Docker opens each with a process of its own
        "PORTAL_PUBLIC_HOST": HOST,
        "PORTAL_REGISTRY_PORT": "5743",
        "PORTAL_REGISTRY_HOST": "127.0.0.1:5743",
        "PORTAL_REGISTRY_LOCAL_HOST": "127.0.0.1:5743",
        "PORTAL_SUBNET": f"{system.subnet}.0/24",
        "PORTAL_GATEWAY": system.gateway,
        "PORTAL_BUILD_CERTS": str(HOST_CAS),
    }
    done = subprocess.run(
        command,
        cwd=FOLDER,
        env={**os.environ, **settings},
        text=True,
        check=False,
        timeout=900,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}"
    return done.stdout


def docker_compose() -> Path:
    """The same program, as people call it who type a dash."""
    plugins = '{{range .ClientInfo.Plugins}}{{if eq .Name "compose"}}{{.Path}}{{end}}{{end}}'
    plugin = subprocess.run(
        ["docker", "info", "--format", plugins], capture_output=True, text=True, check=True
    )
    return Path(plugin.stdout.strip())


@pytest.mark.parametrize("dash", [False, True], ids=["docker compose", "docker-compose"])
def test_one_command_and_a_notebook_answers(quickstart: Stack, dash: bool) -> None:
    compose = [str(docker_compose())] if dash else ["docker", "compose"]
    run(quickstart, *compose, "up", "-d")
    first = docker.from_env().containers.get("portal-quicktest-first-image-1")
    code = first.wait(timeout=600)["StatusCode"]
    output = first.logs().decode()
    assert (code, "Import quickstart/jane.p12" in output) == (0, True), output
    with somebody(quickstart, "jane") as jane:
        settled = jane.settled(jane.deploy("first")["id"])
        assert settled["state"] == "running", settled
        assert jane.http.get(f"{settled['urls']['jupyter']}api").status_code == httpx2.codes.OK


def test_the_worker_that_began_as_root_goes_on_as_the_portals_user(quickstart: Stack) -> None:
    look = (
        "for one in /proc/[0-9]*; do head -c 30 $one/cmdline | grep -qs python && grep ^Uid:"
        " $one/status; done; true"
    )
    users = run(
        quickstart, "docker", "compose", "exec", "-T", "--user", "0", "worker", "sh", "-c", look
    )
    assert {line.split()[2] for line in users.splitlines() if line.startswith("Uid:")} == {"10001"}
