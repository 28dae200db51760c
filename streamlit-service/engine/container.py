"""A container as Docker Engine takes it and shows it: its hardening, its network, its state."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import docker
from docker.errors import APIError
from docker.models.containers import Container
from docker.types import DeviceRequest, DriverConfig, Mount
from portal.core.engine import (
    LABEL_DEPLOYMENT,
    LABEL_GPUS,
    LABEL_PORTAL,
    LABEL_SPEC,
    ContainerSpec,
    ContainerStatus,
    Statistics,
)
from requests import RequestException


def create_arguments(spec: ContainerSpec, *, bounded: bool = False) -> dict[str, Any]:
    """The whole hardening of a container in one place.

    `bounded`: the engine's disk can limit a volume.
    """
    return {
        "image": spec.image,
        "name": spec.name,
        "hostname": spec.hostname,
        "labels": {**spec.labels, LABEL_SPEC: spec.digest},
        "environment": dict(spec.environment),
        "ports": {f"{inside}/tcp": address for inside, address in spec.publish.items()},
        "mounts": [
            Mount(target=path, source=name, type="volume", labels=_whose(spec))
            for name, path in spec.volumes.items()
        ]
        + [_scratch(path, size if bounded else 0) for path, size in spec.scratch.items()],
        "tmpfs": dict(spec.tmpfs),
        "mem_limit": spec.memory_bytes,
        "memswap_limit": spec.memory_bytes,  # equal: no swap on top
        "nano_cpus": int(spec.cpus * 1e9),
        "pids_limit": spec.pids,
        "shm_size": spec.shm_bytes,
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "device_requests": _device_requests(spec),
        "init": True,
        "detach": True,
        **({"network": spec.network} if spec.network else {}),
        **({"entrypoint": list(spec.command)} if spec.command else {}),
        "log_config": docker.types.LogConfig(
            type="json-file", config={"max-size": "10m", "max-file": "3"}
        ),
    }


def _scratch(path: str, size: int) -> Mount:
    """A volume without a name: the engine removes it with the container."""
    limit = DriverConfig("local", {"size": str(size)}) if size else None
    return Mount(target=path, source=None, type="volume", driver_config=limit)


def _whose(spec: ContainerSpec) -> dict[str, str]:
    """Labels of what outlives the container: which portal made it."""
    return {key: value for key, value in spec.labels.items() if key == LABEL_PORTAL}


def ensure_network(client: docker.DockerClient, spec: ContainerSpec, origin: str) -> None:
    """Make a user's own bridge network, on which no container reaches another."""
    if not spec.network or client.networks.list(names=[f"^{spec.network}$"]):
        return
    options = {
        "com.docker.network.bridge.name": spec.bridge,
        "com.docker.network.bridge.enable_icc": "false",
    }
    client.networks.create(
        spec.network,
        driver="bridge",
        check_duplicate=True,
        options=options,
        labels={LABEL_PORTAL: origin},
    )


def _device_requests(spec: ContainerSpec) -> list[DeviceRequest]:
    """Exactly these GPUs, by UUID, in the way that this VM's engine takes."""
    if not spec.gpus:
        return []
    if spec.gpu_access == "cdi":
        return [
            DeviceRequest(driver="cdi", device_ids=[f"nvidia.com/gpu={uuid}" for uuid in spec.gpus])
        ]
    return [DeviceRequest(device_ids=list(spec.gpus), capabilities=[["gpu"]])]


PAUSED = "paused"


def of_list(listed: Mapping[str, Any], *, runs: bool) -> ContainerStatus:
    """State of a container as far as the engine's list tells it."""
    labels = listed["Labels"]
    return ContainerStatus(
        id=listed["Id"],
        deployment_id=labels.get(LABEL_DEPLOYMENT, ""),
        running=runs,
        exit_code=None,
        out_of_memory=False,
        spec_digest=labels.get(LABEL_SPEC, ""),
        paused=listed["State"] == PAUSED,
        gpus=_gpus(labels),
    )


def status(container: Container) -> ContainerStatus:
    """State of an inspected container."""
    state = container.attrs["State"]
    return ContainerStatus(
        id=str(container.id),
        deployment_id=str(container.labels.get(LABEL_DEPLOYMENT, "")),
        running=bool(state["Running"]),
        exit_code=None if state["Running"] else state["ExitCode"],
        out_of_memory=bool(state["OOMKilled"]),
        spec_digest=str(container.labels.get(LABEL_SPEC, "")),
        paused=bool(state["Paused"]),
        started_at=moment(state["StartedAt"]),
        finished_at=moment(state["FinishedAt"]),
        gpus=_gpus(container.labels),
    )


def _gpus(labels: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(filter(None, labels.get(LABEL_GPUS, "").split(",")))


def statistics(raw: dict[str, Any]) -> Statistics | None:
    """What a container uses (Engine API, GET /containers/{id}/stats); None of one that has ended.

    cgroup v1 says total_…_file of all that is in it, v2 only …_file.
    """
    memory, processors = raw.get("memory_stats") or {}, raw.get("cpu_stats") or {}
    if not memory.get("usage"):
        return None
    kinds = memory.get("stats") or {}
    cached = sum(
        int(kinds.get(f"total_{kind}", kinds.get(kind, 0)))
        for kind in ("active_file", "inactive_file")
    )
    used = max(int(memory["usage"]) - cached, 0)
    return Statistics(int(processors["cpu_usage"]["total_usage"]) / 1e9, used)


def moment(text: str) -> datetime | None:
    """A time as engines write it (RFC 3339, to the nanosecond); None for their year 1: never."""
    at = datetime.fromisoformat(text)
    return at if at.year > 1 else None


BEING_REMOVED = "is already in progress"
"""The engine's word for a removal that somebody else, or an earlier try, asked for."""


def remove(api: docker.APIClient, container_id: str) -> None:
    """Remove a container with its anonymous volumes; it is gone when this returns.

    Raises APIError where the engine refuses, or a removal that goes on already does not end.
    """
    try:
        api.remove_container(container_id, force=True, v=True)
    except APIError as error:
        if BEING_REMOVED not in str(error.explanation):
            raise
        try:
            api.wait(container_id, condition="removed")
        except RequestException:
            raise error from None
