"""The production portal for tests: both compose files, PostgreSQL, one VM; once per session."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import builds
import docker
import pytest
from builds import ROOT
from stack import Stack

from harness import logs, published
from harness.fleet import Fleet, TestVm, build_image
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
        settings={
            "PORTAL_PREPULL": "false",
            "PORTAL_CLASSIFICATION": "UNCLASSIFIED//FOUO",
            "PORTAL_USER_PORTS": "10000-13999",
            # Twenty people's notebooks start on the VM at once, on two cores that others share.
            "PORTAL_READY_TIMEOUT_S": "240",
        },
        files=("docker-compose.yml", "docker-compose.prod.yml"),
    )
    clear(system)
    builds.build_services(say)
    shared = published.shared_folder(tmp_path_factory)
    published.make_secrets(system, shared)
    builds.build(ROOT / "deployment" / "postgres", "container-portal-postgres:dev")
    build_image()
    fleet = Fleet(system)
    try:
        system.up()
        published.have(system, "ml-cpu", shared, say)
        vm = fleet.add(VM)
        system.admin("vm", "add", VM, "--engine", vm.engine_url, "--address", vm.address)
        yield system
        logs.check(system)
    finally:
        fleet.close()
        clear(system)


def machine(system: Stack) -> TestVm:
    """Its VM."""
    return TestVm(VM, docker.from_env().containers.get(f"{system.project}-{VM}"))
