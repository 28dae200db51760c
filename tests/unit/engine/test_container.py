"""A container's arguments for Docker Engine, beyond what the hardening tests see on a real one."""

from __future__ import annotations

from unittest import mock

import docker
import pytest
from docker.errors import APIError
from engine.container import create_arguments, remove
from portal.core.engine import LABEL_DEPLOYMENT, LABEL_PORTAL, ContainerSpec
from requests.exceptions import ReadTimeout


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


@pytest.fixture
def busy() -> mock.Mock:
    """STAND-IN for an engine that is removing this container already."""
    api = mock.Mock(spec=docker.APIClient)
    words = "removal of container c0ffee is already in progress"
    api.remove_container.side_effect = APIError("409 Client Error", explanation=words)
    return api


def test_a_removal_that_goes_on_already_is_waited_for(busy: mock.Mock) -> None:
    remove(busy, "c0ffee")
    busy.wait.assert_called_once_with("c0ffee", condition="removed")


def test_a_removal_that_does_not_end_is_told(busy: mock.Mock) -> None:
    busy.wait.side_effect = ReadTimeout()
    with pytest.raises(APIError, match="in progress"):
        remove(busy, "c0ffee")


def test_a_refusal_is_not_waited_for(busy: mock.Mock) -> None:
    busy.remove_container.side_effect = APIError("500", explanation="device is busy")
    with pytest.raises(APIError, match="device is busy"):
        remove(busy, "c0ffee")
    busy.wait.assert_not_called()
