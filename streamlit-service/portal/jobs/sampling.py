"""What containers use: one question to each VM at a time, written down once a minute for all."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from portal import db
from portal.context import Portal
from portal.core.engine import Engine, GpuReport, Statistics
from portal.core.errors import EngineError
from portal.core.figures import Figures
from portal.core.models import Deployment, State, Vm
from portal.core.resources import GIB
from portal.deployments.container_spec import container_name
from portal.jobs.homes import Homes

log = structlog.get_logger()

LATE_S = 600.0
"""Of processor time over a longer silence nobody knows when it was used."""


@dataclass
class _Container:
    """What was seen of a container in this minute, and its last reading before."""

    last: tuple[float, Statistics] | None = None
    cpus: list[float] = field(default_factory=list)
    memory_gb: list[float] = field(default_factory=list)
    gpu_utilisation: list[float] = field(default_factory=list)
    gpu_memory_gb: list[float] = field(default_factory=list)
    home_gb: float | None = None

    def used(self, at_s: float, now: Statistics) -> None:
        self.memory_gb.append(now.memory_bytes / GIB)
        if self.last is not None:
            then_s, before = self.last
            # Less than before: it was started again.
            if 0 < at_s - then_s < LATE_S and now.cpu_s >= before.cpu_s:
                self.cpus.append((now.cpu_s - before.cpu_s) / (at_s - then_s))
        self.last = at_s, now

    def figures(self, minute: datetime) -> Figures | None:
        """Of the minute that is over; None when it was not seen."""
        if not self.memory_gb or not self.cpus:
            return None
        return Figures(
            minute,
            _average(self.cpus),
            _average(self.memory_gb),
            max(self.memory_gb),
            _average(self.gpu_utilisation) if self.gpu_utilisation else None,
            max(self.gpu_memory_gb, default=None),
            self.home_gb,
        )

    def next_minute(self) -> None:
        for seen in (self.cpus, self.memory_gb, self.gpu_utilisation, self.gpu_memory_gb):
            seen.clear()


class Sampler:
    """Thread-safe. Of the worker that leads; what another one saw in this minute is lost."""

    def __init__(self, portal: Portal, homes: Homes) -> None:
        self._portal = portal
        self._homes = homes
        self._guard = threading.Lock()
        self._containers: dict[str, _Container] = {}
        self._asked_at: dict[str, float] = {}
        self._minute = _minute(portal.now())
        self._hour: datetime | None = None

    def sample(self, portal: Portal, vm: Vm, engine: Engine) -> None:
        """Ask the VM for the container that was not asked for longest."""
        if not vm.reachable:
            return
        with portal.database.reading() as tx:
            running = db.deployments.running_on(tx, vm.id)
        with self._guard:
            chosen = min(running, key=lambda each: self._asked_at.get(each, 0.0), default=None)
            if chosen is None:
                return
            self._asked_at[chosen] = time.monotonic()
        try:
            statistics = engine.statistics(container_name(chosen))
        except EngineError as error:
            log.info("not_sampled", vm=vm.name, deployment=chosen, cause=error.cause)
            return
        if statistics is None:
            return
        with portal.database.reading() as tx:
            deployment = db.deployments.by_id(tx, chosen)
        with self._guard:
            container = self._of(chosen)
            container.used(portal.now().timestamp(), statistics)
            if deployment is not None:
                container.home_gb = self._homes.gb(vm, deployment.owner)

    def see_gpus(self, vm: Vm, report: GpuReport) -> None:
        """Readings of the GPUs that containers on the VM hold."""
        seen = {gpu.uuid: gpu for gpu in report.gpus}
        running = self._running(vm)
        with self._guard:
            for deployment in running:
                gpus = [seen[uuid] for uuid in deployment.gpu_uuids if uuid in seen]
                busy = [gpu.utilisation for gpu in gpus if gpu.utilisation is not None]
                used = [gpu.memory_used_gb for gpu in gpus if gpu.memory_used_gb is not None]
                container = self._of(deployment.id)
                if busy:
                    container.gpu_utilisation.append(_average(busy))
                if used:
                    container.gpu_memory_gb.append(sum(used))

    def write(self) -> None:
        """Write the minute that is over, once; and with a new hour the hours before."""
        minute = _minute(self._portal.now())
        with self._guard:
            if minute == self._minute:
                return
            over = {
                key: each
                for key, container in self._containers.items()
                if (each := container.figures(self._minute)) is not None
            }
            self._minute = minute
            self._forget()
        hour = minute.replace(minute=0)
        with self._portal.database.transaction() as tx:
            db.figures.put(tx, over)
            if hour != self._hour:
                db.figures.roll_up(tx, minute)
        self._hour = hour

    def _running(self, vm: Vm) -> list[Deployment]:
        with self._portal.database.reading() as tx:
            there = db.deployments.on_vm(tx, vm.id)
        return [deployment for deployment in there if deployment.state is State.RUNNING]

    def _forget(self) -> None:
        """Begin the next minute without those that were not seen in the last."""
        long_ago = time.monotonic() - LATE_S
        self._asked_at = {key: at for key, at in self._asked_at.items() if at > long_ago}
        self._containers = {
            key: container for key, container in self._containers.items() if key in self._asked_at
        }
        for container in self._containers.values():
            container.next_minute()

    def _of(self, deployment_id: str) -> _Container:
        return self._containers.setdefault(deployment_id, _Container())


def _minute(now: datetime) -> datetime:
    return now.replace(second=0, microsecond=0)


def _average(values: list[float]) -> float:
    return sum(values) / len(values)
