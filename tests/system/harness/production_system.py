"""The production portal for tests: both compose files, PostgreSQL, one VM; once per session."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import docker
import httpx2
import pytest
import stack as stacks
from docker.models.containers import Container
from stack import ROOT, Stack

from harness.fleet import Fleet, build_image
from harness.people import Person
from harness.real_system import clear

BIND = "127.0.0.3"
VM = "vm-p"


@pytest.fixture(scope="session")
def production(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The production portal with ml-cpu approved and one VM. Gone afterwards."""
    say: Callable[[str], None] = lambda text: print(text, flush=True)  # noqa: E731
    system = Stack(
        home=tmp_path_factory.mktemp("production"),
        project="portal-prod",
        host=BIND,
        bind=BIND,
        registry_port=5643,
        registry_host="registry:5000",
        subnet="172.30.97",
        environment="production",
        settings={"PORTAL_PREPULL": "false"},
        files=("docker-compose.yml", "docker-compose.prod.yml"),
    )
    clear(system)
    stacks.build_services(say)
    system.make_secrets()
    stacks.build(ROOT / "deployment" / "postgres", "container-portal-postgres:dev")
    build_image()
    fleet = Fleet(system)
    try:
        system.up()
        system.publish("ml-cpu", say=say)
        vm = fleet.add(VM)
        system.admin("vm", "add", VM, "--engine", vm.engine_url, "--address", vm.address)
        yield system
    finally:
        fleet.close()
        clear(system)


def containers(system: Stack, service: str) -> list[Container]:
    labels = [
        f"com.docker.compose.project={system.project}",
        f"com.docker.compose.service={service}",
    ]
    found: list[Container] = docker.from_env().containers.list(filters={"label": labels})
    return found


@contextmanager
def somebody(system: Stack, name: str) -> Iterator[Person]:
    """A person with their card at a portal; afterwards without containers."""
    with client(system, name) as http:
        one = Person(name, http)
        yield one
        one.remove_all()


def client(system: Stack, name: str) -> httpx2.Client:
    """A person's program at a portal."""
    context = ssl.create_default_context(cafile=str(system.certs / "ca.crt"))
    context.load_cert_chain(system.certs / f"{name}.crt", system.certs / f"{name}.key")
    return httpx2.Client(base_url=system.url, verify=context, timeout=30, trust_env=False)
