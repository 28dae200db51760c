"""What a publisher that was killed left on the build engine: the container of its tests."""

from __future__ import annotations

import re
import socket
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import docker
from docker.models.containers import Container
from engine.container import moment

LABEL = "org.container-portal.test"
CONTAINER_ID = re.compile("[0-9a-f]{12}")
"""A container's host name, unless it was given another (docker-run(1))."""
LONGEST = timedelta(hours=1)
"""No tests take so long."""


def label() -> dict[str, str]:
    """Marks a container of this publisher's tests."""
    return {LABEL: socket.gethostname()}


def remove(engine: docker.DockerClient) -> list[str]:
    """Remove the tests' containers whose publisher is gone, with their volumes.

    Returns their names.
    """
    gone = []
    for container in engine.containers.list(
        all=True, ignore_removed=True, filters={"label": LABEL}
    ):
        if _is_left(engine, container):
            name = str(container.name)
            gone.append(name)
            with suppress(docker.errors.APIError):  # another publisher was faster
                container.remove(force=True, v=True)
                engine.volumes.get(name).remove(force=True)
    return gone


def _is_left(engine: docker.DockerClient, container: Container) -> bool:
    maker, here = container.labels.get(LABEL, ""), socket.gethostname()
    # Where publishers themselves run on the engine: on a build engine elsewhere only age tells.
    if CONTAINER_ID.fullmatch(maker) and _runs(engine, here) and not _runs(engine, maker):
        return True
    made_at = moment(container.attrs["Created"])
    return made_at is not None and datetime.now(UTC) - made_at > LONGEST


def _runs(engine: docker.DockerClient, container_id: str) -> bool:
    try:
        return bool(engine.containers.get(container_id).status == "running")
    except docker.errors.NotFound:
        return False
