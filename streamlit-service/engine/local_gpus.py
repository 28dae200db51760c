"""GPUs of an engine that is reached by its socket: nobody runs portal-gate there.

A helper container that may see every GPU is asked instead. It ends by itself some minutes after
the last question, has no network and no rights, and NVIDIA's hook or CDI puts nvidia-smi into it.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from typing import Any

import docker
import structlog
from docker.errors import APIError, NotFound
from docker.models.containers import Container
from docker.types import DeviceRequest
from portal.core.engine import GpuReport

from engine import gpu_probe

log = structlog.get_logger()
LIVES_S = 300
ASK_AGAIN_S = 120.0
"""After an engine had no GPUs to give: making a container only to hear so again costs."""
LABEL = "org.container-portal.gpu-probe"
FIELDS = (
    "index,uuid,name,memory.total,memory.used,utilization.gpu,temperature.gpu,driver_version,"
    "mig.mode.current"
)
"""As in scripts/vm/portal-gate.sh."""
SCRIPT = f"""
smi() {{ timeout 10 nvidia-smi "$@" 2>&1; }}
echo "== query"; smi --query-gpu={FIELDS} --format=csv,noheader,nounits
echo "== exit $?"
echo "== list"; smi -L; echo "== listed $?"
echo "== cuda"; smi | grep -Eo 'CUDA[A-Za-z ]* Version *: *[0-9.]+'
true
"""
NO_DEVICE_DRIVER = "could not select device driver"
"""Docker's words where no NVIDIA toolkit is installed."""
BROKEN = ("driver not loaded", "driver error", "initialization error", "nvml")
"""Of NVIDIA's hook where there is a toolkit, and the driver does not work."""


class LocalGpus:
    """Thread-safe. `image`: what the helper runs; any with a shell will do."""

    def __init__(self, image: str, whose: str) -> None:
        self._image, self._whose = image, whose
        self._name = f"portal-gpu-probe-{hashlib.sha256(whose.encode()).hexdigest()[:8]}"
        self._none_until, self._good_until = 0.0, 0.0
        self._none = GpuReport()
        self._lock = threading.Lock()

    def remembered(self) -> GpuReport | None:
        """What was found while the engine had no GPUs to give, for a while."""
        return self._none if time.monotonic() < self._none_until else None

    def report(self, client: docker.DockerClient, engine: dict[str, Any]) -> GpuReport:
        """What the helper sees; an empty report where the engine has no GPUs to give."""
        with self._lock:
            if remembered := self.remembered():
                return remembered
            listed = engine.get("DiscoveredDevices")
            cdi = None if listed is None else {str(device.get("ID")) for device in listed}
            try:
                helper, access = self._helper(client, engine, cdi)
            except APIError as error:
                self._none_until = time.monotonic() + ASK_AGAIN_S
                words = str(error.explanation).lower()
                log.info("no_gpus_to_ask_for", image=self._image, cause=words[:300])
                broken = any(sign in words for sign in BROKEN)
                self._none = GpuReport(problem="driver_broken" if broken else None)
                return self._none
            raw = helper.exec_run(["sh", "-c", SCRIPT])[1]
        output = raw.decode(errors="replace") if isinstance(raw, bytes) else ""
        head = "== toolkit\nnvidia\n" if access == "nvidia" else "== cdi\nnvidia\n"
        seen = gpu_probe.parse(
            head + output, cdi_engine=access == "cdi", cdi_devices=cdi if access == "cdi" else None
        )
        # It was given GPUs, and nvidia-smi says nothing of them.
        return seen if seen.gpus or seen.problem else GpuReport(problem="driver_broken")

    def _helper(
        self, client: docker.DockerClient, engine: dict[str, Any], cdi: Collection[str] | None
    ) -> tuple[Container, str]:
        """The helper, running, and the way in which it got its GPUs. APIError without any."""
        with suppress(NotFound):
            known = client.containers.get(self._name)
            if known.status == "running" and time.monotonic() < self._good_until:
                return known, known.labels[LABEL]
            known.remove(force=True)
        try:
            return self._start(client, "nvidia"), "nvidia"
        except APIError as error:
            has_cdi = bool(engine.get("CDISpecDirs")) if cdi is None else bool(cdi)
            if NO_DEVICE_DRIVER not in str(error.explanation) or not has_cdi:
                raise
        return self._start(client, "cdi"), "cdi"

    def _start(self, client: docker.DockerClient, access: str) -> Container:
        everything = (
            DeviceRequest(driver="cdi", device_ids=[f"{gpu_probe.CDI_KIND}all"])
            if access == "cdi"
            else DeviceRequest(count=-1, capabilities=[["gpu"]])
        )
        made = client.containers.create(
            self._image,
            entrypoint=["sleep", str(LIVES_S)],
            command=[],
            name=self._name,
            labels={LABEL: access, f"{LABEL}-of": self._whose},
            environment={
                "NVIDIA_DRIVER_CAPABILITIES": "utility",
                "NVIDIA_VISIBLE_DEVICES": "all",
            },
            device_requests=[everything],
            auto_remove=True,
            network_mode="none",
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            pids_limit=64,
            mem_limit="256m",
        )
        try:
            made.start()
        except APIError:
            with suppress(APIError):
                made.remove(force=True)
            raise
        self._good_until = time.monotonic() + LIVES_S - 60
        return made
