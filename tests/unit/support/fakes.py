"""Stand-ins for what unit tests must not need: a Docker Engine, and time. The rest is real."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from engine import errors as engine_errors
from portal.core.engine import (
    LABEL_DEPLOYMENT,
    ContainerSpec,
    ContainerStatus,
    EngineInfo,
    GpuReport,
    OnProgress,
    Statistics,
    VmReport,
)
from portal.core.errors import EngineError
from portal.core.models import LayerProgress


@dataclass
class FakeClock:
    """Time that moves when told to."""

    at: datetime = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Now."""
        return self.at

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self.at += timedelta(seconds=seconds)


@dataclass
class Box:
    """A container of the fake engine."""

    id: str
    spec: ContainerSpec
    running: bool = False
    exit_code: int = 0
    out_of_memory: bool = False
    paused: bool = False
    started_at: datetime | None = None
    finished_at: datetime | None = None
    used: Statistics = field(default_factory=lambda: Statistics(0.0, 0))


@dataclass
class FakeEngine:
    """An engine in memory. `failing` maps a method's name to the error it raises."""

    on_disk: set[str] = field(default_factory=set)
    boxes: dict[str, Box] = field(default_factory=dict)
    volumes: set[str] = field(default_factory=set)
    failing: dict[str, EngineError] = field(default_factory=dict)
    layers: tuple[LayerProgress, ...] = (LayerProgress("a1", 10, 100, "Downloading"),)
    pull_gate: threading.Event | None = None
    report: GpuReport = field(default_factory=GpuReport)
    vm_report: VmReport | None = None
    networks: set[str] = field(default_factory=set)
    engine_start: datetime | None = None
    at: datetime | None = None
    killed: dict[str, datetime] = field(default_factory=dict)
    ports_in_use: set[int] = field(default_factory=set)
    """Held by something else on the VM."""
    pulled: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    """Whose statistics were asked for."""
    sizes: dict[str, int] | None = None
    """Bytes in volumes; None: it cannot say."""

    def _enter(self, method: str) -> None:
        if method in self.failing:
            raise self.failing[method]

    def info(self) -> EngineInfo:
        self._enter("info")
        return EngineInfo("28.0.0", 8, 32.0, self.at)

    def out_of_memory(self, since: datetime, until: datetime) -> dict[str, datetime]:
        self._enter("out_of_memory")
        return {key: at for key, at in self.killed.items() if since < at <= until}

    def started_at(self) -> datetime | None:
        self._enter("started_at")
        return self.engine_start

    def gpus(self) -> GpuReport:
        self._enter("gpus")
        return self.report

    def check(self) -> VmReport | None:
        self._enter("check")
        return self.vm_report

    def has_image(self, reference: str) -> bool:
        self._enter("has_image")
        return reference in self.on_disk

    def pull(self, reference: str, on_progress: OnProgress) -> None:
        self.pulled.append(reference)
        on_progress(self.layers)
        self._enter("pull")
        if self.pull_gate:
            self.pull_gate.wait(5)
        on_progress(self.layers)
        self.on_disk.add(reference)

    def images(self) -> set[str]:
        self._enter("images")
        return set(self.on_disk)

    def remove_image(self, reference: str) -> None:
        self._enter("remove_image")
        self.on_disk.discard(reference)

    def create(self, spec: ContainerSpec) -> str:
        self._enter("create")
        self.boxes[spec.name] = Box(f"id-{spec.name}", spec)
        self.volumes |= set(spec.volumes)
        self.networks.add(spec.network)
        return f"id-{spec.name}"

    def start(self, container_id: str) -> None:
        self._enter("start")
        box = self._find(container_id)
        for address, port in box.spec.publish.values():
            if port in self.ports_in_use:
                raise engine_errors.refused(
                    f"Bind for {address}:{port} failed: port is already allocated", "vm"
                )
        box.running = True

    def stop(self, container_id: str, grace_s: int) -> None:
        self._enter("stop")
        for box in self.boxes.values():
            if container_id in (box.id, box.spec.name):
                box.running = False

    def remove(self, container_id: str) -> None:
        self._enter("remove")
        self.boxes = {n: b for n, b in self.boxes.items() if container_id not in (b.id, n)}

    def inspect(self, container_id: str) -> ContainerStatus | None:
        self._enter("inspect")
        return next((_status(b) for n, b in self.boxes.items() if container_id in (b.id, n)), None)

    def containers(self, expected: Collection[str]) -> list[ContainerStatus]:
        self._enter("containers")
        return [_status(box) for box in self.boxes.values()]

    def statistics(self, container_id: str) -> Statistics | None:
        self._enter("statistics")
        self.asked.append(container_id)
        box = self.boxes.get(container_id)
        return box.used if box and box.running else None

    def volume_sizes(self) -> dict[str, int] | None:
        self._enter("volume_sizes")
        return self.sizes

    def logs(self, container_id: str, *, tail: int, since: str = "") -> bytes:
        self._enter("logs")
        return b"2026-01-05T09:00:00Z a line\n"

    def prune_networks(self, keep: Callable[[], Collection[str]]) -> None:
        self.networks &= set(keep())

    def close(self) -> None:
        return

    def _find(self, container_id: str) -> Box:
        return next(b for n, b in self.boxes.items() if container_id in (b.id, n))


def _status(box: Box) -> ContainerStatus:
    code = None if box.running else box.exit_code
    return ContainerStatus(
        box.id,
        box.spec.labels.get(LABEL_DEPLOYMENT, ""),
        box.running,
        code,
        box.out_of_memory,
        box.spec.digest,
        box.paused,
        box.started_at,
        box.spec.gpus,
        box.finished_at,
    )
