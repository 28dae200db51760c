"""A container's arguments for Docker Engine, beyond what the hardening tests see on a real one."""

from __future__ import annotations

from engine.container import create_arguments
from portal.core.engine import LABEL_DEPLOYMENT, LABEL_PORTAL, ContainerSpec


def test_a_home_folder_says_which_portal_made_it_and_no_more() -> None:
    spec = ContainerSpec(
        name="portal-1",
        image="registry:5000/ml-cpu@sha256:0",
        labels={LABEL_PORTAL: "https://portal.example.org", LABEL_DEPLOYMENT: "1"},
        environment={},
        publish={},
        volumes={"portal-home-1": "/home/jovyan"},
        tmpfs={},
        memory_bytes=1,
        shm_bytes=1,
        cpus=1,
        pids=1,
        hostname="x",
    )
    [home] = create_arguments(spec)["mounts"]
    assert home["VolumeOptions"]["Labels"] == {LABEL_PORTAL: "https://portal.example.org"}
