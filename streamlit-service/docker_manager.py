"""Engine: one Docker Engine on one VM, over a local socket or one SSH connection.

With engine/ the only part that talks to VMs. Containers get no capabilities, no new privileges,
a read-only root, and limits on memory, CPU and processes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import datetime
from typing import Any, TypeVar

import docker
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from engine import errors as engine_errors
from engine import gpu_probe, log, remote_gpus, vm_probe, volumes
from engine.clients import Clients
from engine.container import (
    PAUSED,
    create_arguments,
    ensure_network,
    moment,
    of_list,
    remove,
    statistics,
    status,
)
from engine.events import killed_for_memory
from engine.local_gpus import LocalGpus
from engine.pull import PullError, layers_of
from engine.ssh_tunnel import SshTunnel, TunnelError
from portal.core.engine import (
    LABEL_PORTAL,
    ContainerSpec,
    ContainerStatus,
    EngineInfo,
    GpuReport,
    OnProgress,
    Statistics,
    VmReport,
)
from portal.core.errors import EngineError
from portal.core.models import Vm
from portal.core.resources import GIB
from portal.core.settings import Settings
from requests.exceptions import RequestException

PULL_SILENCE_S = 120
HOMES_S = 900
"""For counting what is in volumes: a disk of millions of files."""
CHECK_S = 25.0
NO_QUOTA = "no quota support"
"""Docker's words where the disk is not XFS with project quotas (pquota)."""
RUNS = ("running", PAUSED)
"""What an engine's list calls a container whose processes are there."""
T = TypeVar("T")


class DockerEngine:
    """portal.core.engine.Engine on docker-py. Thread-safe; connects at the first call."""

    def __init__(self, vm: Vm, settings: Settings) -> None:
        self._vm = vm
        self._settings = settings
        self._tunnel = (
            SshTunnel(vm.engine_url, settings) if vm.engine_url.startswith("ssh://") else None
        )
        self._label = f"{LABEL_PORTAL}={settings.public_origin}"
        self._local_gpus = LocalGpus(settings.probe_image, settings.public_origin)
        self._bounds = True  # until the engine says that its disk cannot limit a volume
        self._networks = threading.Lock()
        self._clients = Clients()

    def info(self) -> EngineInfo:
        """Version, CPUs and memory of the VM."""
        raw = self._call(lambda client: client.info())
        memory_gb = round(raw["MemTotal"] / GIB, 1)
        return EngineInfo(raw["ServerVersion"], raw["NCPU"], memory_gb, moment(raw["SystemTime"]))

    def started_at(self) -> datetime | None:
        """When the engine started: then it makes its default network.

        Where that is turned off, portal-gate knows; None where there is neither.
        """

        def read(client: docker.DockerClient) -> datetime | None:
            try:
                return moment(client.api.inspect_network("bridge")["Created"])
            except NotFound:
                return None

        return self._call(read) or vm_probe.engine_started_at(self._checked() or "")

    def out_of_memory(self, since: datetime, until: datetime) -> dict[str, datetime]:
        """From the engine's events: its containers' state says it only once they have ended."""
        timeout_s = self._settings.engine_timeout_s
        return self._call(
            lambda client: killed_for_memory(client, self._label, since, until, timeout_s)
        )

    def gpus(self) -> GpuReport:
        """What portal-gate on the VM says, or over a local socket a helper container."""
        if self._tunnel is None and (remembered := self._local_gpus.remembered()):
            return remembered
        engine = self._call(lambda client: client.info())
        if self._tunnel is None:
            try:
                return self._call(lambda client: self._local_gpus.report(client, engine))
            except gpu_probe.Incomplete as error:
                raise engine_errors.unreachable(self._vm.name, f"nvidia-smi: {error}") from error
        return remote_gpus.report(self._tunnel, self._vm.name, engine)

    def check(self) -> VmReport | None:
        """What portal-gate says of the VM; None over a local socket, or where there is no gate."""
        asked_at = time.time()
        output = self._checked()
        return vm_probe.parse(output, asked_at + (time.time() - asked_at) / 2) if output else None

    def _checked(self) -> str | None:
        """What portal-gate prints; None over a local socket, "" where there is no gate."""
        if self._tunnel is None:
            return None
        try:
            return self._tunnel.run(vm_probe.COMMAND, CHECK_S)
        except TunnelError as error:
            raise engine_errors.unreachable(
                self._vm.name, f"{vm_probe.COMMAND}: {error}"
            ) from error

    def has_image(self, reference: str) -> bool:
        """Whether the digest is on the VM."""

        def read(client: docker.DockerClient) -> bool:
            try:
                client.images.get(self._named(reference))
            except ImageNotFound:
                return False
            return True

        return self._call(read)

    def pull(self, reference: str, on_progress: OnProgress) -> None:
        """Pull by digest with per-layer progress, within settings.pull_timeout_s."""
        deadline = time.monotonic() + self._settings.pull_timeout_s

        def pull(client: docker.DockerClient) -> None:
            stream = client.api.pull(
                self._named(reference),
                stream=True,
                decode=True,
                auth_config=self._settings.registry.docker_login(reference),
            )
            try:
                for layers in layers_of(stream):
                    if time.monotonic() > deadline:
                        limit_s = self._settings.pull_timeout_s
                        raise engine_errors.pull_too_slow(limit_s, reference)
                    on_progress(layers)
            except PullError as error:
                raise engine_errors.pull_failed(str(error), reference) from error

        self._call(pull, PULL_SILENCE_S, lambda text: engine_errors.pull_failed(text, reference))

    def images(self) -> set[str]:
        """By digest, as this portal names the registry."""
        images = self._call(lambda client: client.api.images())
        names = {str(name) for image in images for name in image.get("RepoDigests") or []}
        return names if self._tunnel else {self._settings.registry.recorded(n) for n in names}

    def remove_image(self, reference: str) -> None:
        """Untag and delete what no other name holds; no-op when it is gone."""
        self._call(
            _or_gone(lambda client: client.api.remove_image(self._named(reference))),
            self._settings.engine_timeout_s + 50,
        )

    def create(self, spec: ContainerSpec) -> str:
        """Create the hardened container; an engine's refusal leaves none behind."""

        def create(client: docker.DockerClient) -> str:
            # Two containers of one user, started at once, want the same network.
            with self._networks:
                ensure_network(client, spec, self._settings.public_origin)
            named = {"image": self._named(spec.image)}
            if self._bounds:
                try:
                    arguments = create_arguments(spec, bounded=True) | named
                    return str(client.containers.create(**arguments).id)
                except APIError as error:
                    if NO_QUOTA not in str(error.explanation):
                        raise
                    self._bounds = False
            return str(client.containers.create(**create_arguments(spec) | named).id)

        return self._call(create)

    def start(self, container_id: str) -> None:
        """Start it; no-op when it runs (the engine answers 304)."""
        self._call(lambda client: client.api.start(container_id))

    def stop(self, container_id: str, grace_s: int) -> None:
        """Ask it to end, then kill it after the grace; no-op when it is gone."""
        self._call(
            _or_gone(lambda client: client.api.stop(container_id, timeout=grace_s)),
            self._settings.engine_timeout_s + grace_s,
        )

    def remove(self, container_id: str) -> None:
        """Remove by force with its anonymous volumes; named ones stay. No-op when it is gone."""
        self._call(
            _or_gone(lambda client: remove(client.api, container_id)),
            self._settings.engine_timeout_s + 20,
        )

    def inspect(self, container_id: str) -> ContainerStatus | None:
        """Status by name or id, or None."""

        def read(client: docker.DockerClient) -> ContainerStatus | None:
            try:
                return status(client.containers.get(container_id))
            except NotFound:
                return None

        return self._call(read)

    def statistics(self, container_id: str) -> Statistics | None:
        """One question to the engine, which does not wait for a second reading."""

        def read(client: docker.DockerClient) -> Statistics | None:
            try:
                return statistics(client.api.stats(container_id, stream=False, one_shot=True))
            except NotFound:
                return None

        return self._call(read)

    def volume_sizes(self) -> dict[str, int] | None:
        """Counted by the engine itself."""
        return self._call(lambda client: volumes.sizes(client, HOMES_S))

    def containers(self, expected: Collection[str]) -> list[ContainerStatus]:
        """List this portal's containers on the VM: one call.

        One more for each of these deployments whose container has ended, to see why.
        """

        def read(client: docker.DockerClient) -> list[ContainerStatus]:
            containers = []
            for listed in client.api.containers(all=True, filters={"label": self._label}):
                seen = of_list(listed, runs=listed["State"] in RUNS)
                if seen.running or seen.deployment_id not in expected:
                    containers.append(seen)
                    continue
                with suppress(NotFound):  # removed since
                    containers.append(status(client.containers.get(listed["Id"])))
            return containers

        return self._call(read)

    def logs(self, container_id: str, *, tail: int, since: str = "") -> bytes:
        """Log lines with time stamps, after the line of the stamp `since`.

        Following is asking again: a connection held open would outlive its reader.
        """

        def read(client: docker.DockerClient) -> bytes:
            container = client.containers.get(container_id)

            def last(lines: int, of_s: int | None = None) -> bytes:
                return bytes(container.logs(tail=lines, timestamps=True, since=of_s))

            if not since:
                return last(tail)
            newest = log.stamp_of(last(1))
            if newest in ("", since):
                return b""
            # An older one: the VM's clock was set back.
            of_s = None if newest < since else int(datetime.fromisoformat(since).timestamp())
            return b"".join(log.after(last(tail, of_s).splitlines(keepends=True), since))

        return self._call(read)

    def prune_networks(self, keep: Callable[[], Collection[str]]) -> None:
        """An engine refuses to remove a network that is in use; that is no error here."""

        def prune(client: docker.DockerClient) -> None:
            there = client.networks.list(filters={"label": self._label})
            needed = keep()
            for network in there:
                if network.name not in needed:
                    with suppress(APIError):
                        network.remove()

        self._call(prune)

    def close(self) -> None:
        """Close clients and the SSH connection."""
        self._clients.close()
        if self._tunnel:
            self._tunnel.close()

    def _call(
        self,
        action: Callable[[docker.DockerClient], T],
        timeout_s: int | None = None,
        refused: Callable[[str], EngineError] | None = None,
    ) -> T:
        """Run one engine call with a deadline; every failure becomes an EngineError."""
        try:
            return action(self._client(timeout_s or self._settings.engine_timeout_s))
        except EngineError:
            raise
        except APIError as error:
            message = str(error.explanation or error)
            raise (
                refused(message) if refused else engine_errors.refused(message, self._vm.name)
            ) from error
        except (TunnelError, RequestException, DockerException, OSError) as error:
            raise engine_errors.unreachable(
                self._vm.name, f"{type(error).__name__}: {error}"
            ) from error

    def _client(self, timeout_s: int) -> docker.DockerClient:
        url = self._tunnel.url() if self._tunnel else self._vm.engine_url
        return self._clients.to(url, timeout_s)

    def _named(self, reference: str) -> str:
        """A reference with the registry's name on this engine."""
        return reference if self._tunnel else self._settings.registry.for_local_engine(reference)


def _or_gone(action: Callable[[docker.DockerClient], Any]) -> Callable[[docker.DockerClient], None]:
    def act(client: docker.DockerClient) -> None:
        try:
            action(client)
        except NotFound:
            return

    return act
