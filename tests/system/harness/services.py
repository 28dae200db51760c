"""The containers of a portal's services."""

from __future__ import annotations

import docker
from docker.models.containers import Container
from stack import Stack


def containers(system: Stack, service: str, *, ended: bool = False) -> list[Container]:
    """Of a service, one for each replica; with those that `ended`, too."""
    labels = [f"project={system.project}", f"service={service}"]
    filters: dict[str, str | list[str] | bool] = {
        "label": [f"com.docker.compose.{label}" for label in labels]
    }
    found: list[Container] = docker.from_env().containers.list(
        all=ended, ignore_removed=True, filters=filters
    )
    return found
