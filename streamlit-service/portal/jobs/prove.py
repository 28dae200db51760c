"""Every hour, on each VM: what do containers of two made-up people reach? Nothing they must not.

B listens; A listens and tries every door; B is made anew and tries A's. That what is closed is
closed by the VM, and not because nobody listened, is seen from here: the portal reaches both.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from portal import db
from portal.context import Portal
from portal.core.engine import LABEL_PORTAL, ContainerSpec, Engine
from portal.core.errors import EngineError
from portal.core.isolation import CLOSED, OPEN, Cell, Isolation
from portal.core.models import Release, Vm, VmState
from portal.deployments.container_spec import environment, network
from portal.vms import isolation
from portal.vms.health import NO_GATE

A, B = "A", "B"
PORTS = {A: 9997, B: 9998}
"""On the VM; outside every user's range, so that they disturb nobody."""
JUPYTER = 8888
MEMORY_BYTES = 128 * 2**20
POLL_S, ANSWER_S, CONNECT_S = 0.1, 30.0, 3.0
UNPREPARED = (None, "none", NO_GATE)
METADATA = ("169.254.169.254", "168.63.129.16", "100.100.100.200")
OUTSIDE = (("1.1.1.1", 443), ("9.9.9.9", 443))
"""Name services of the internet that answer HTTPS."""
OTHERS, SSH, ENGINE = "the other's notebook", "the VM's SSH", "the VM's engine"
PORTAL, CLOUD, GPUS, OUT = "the portal", "cloud metadata", "GPUs", "the way out"
Door = Sequence[str | int]
AGAIN = timedelta(minutes=5)
"""After what could not be measured."""
Reaches = Callable[[str, int], bool]


@dataclass(frozen=True)
class _Seen:
    """What a container says of itself."""

    address: str
    gateway: str


class Proofs:
    """When each VM is due. Of the worker that leads; what was measured before it counts, too."""

    def __init__(self, portal: Portal, reaches: Reaches | None = None) -> None:
        self._portal, self._reaches = portal, reaches or _reaches
        self._due_at: dict[int, datetime] | None = None

    def is_due(self, vm: Vm) -> bool:
        """Whether it is time; only prepared VMs promise anything."""
        every_s = self._portal.settings.proof_interval_s
        if not every_s or not vm.reachable or vm.state is VmState.NEW:
            return False
        if vm.firewall in UNPREPARED:
            return False
        if self._due_at is None:
            every = timedelta(seconds=every_s)
            with self._portal.database.reading() as tx:
                measured = db.isolation.last(tx)
            self._due_at = {
                vm_id: each.at + (AGAIN if each.problem else every)
                for vm_id, each in measured.items()
            }
        now = self._portal.now()
        due = self._due_at.get(vm.id, now)
        return not now < due <= now + timedelta(seconds=every_s)  # a clock may have gone back

    def prove(self, portal: Portal, vm: Vm, engine: Engine) -> Isolation:
        """Measure and record; what cannot be measured is recorded with the reason."""
        began, at = time.monotonic(), portal.now()
        cells: list[Cell] = []
        problem = ""
        try:
            cells = _Proof(portal, vm, engine, self._reaches).cells()
        except EngineError as error:
            problem = f"{error.message} {error.cause}".strip()
        measured = Isolation(at, time.monotonic() - began, cells, problem)
        isolation.record(portal, vm, measured)
        every = timedelta(seconds=portal.settings.proof_interval_s)
        if self._due_at is not None:
            self._due_at[vm.id] = at + (min(AGAIN, every) if problem else every)
        return measured


class _Proof:
    """One measurement on one VM."""

    def __init__(self, portal: Portal, vm: Vm, engine: Engine, reaches: Reaches) -> None:
        self._portal, self._vm, self._engine = portal, vm, engine
        self._reaches = reaches
        self._image = self._smallest_there()

    def cells(self) -> list[Cell]:
        """Of both."""
        try:
            b = self._listens(B)
            from_a = self._tries(A, B, b)
            a = self._said(A)
            self._control(A, B)
            from_b = self._tries(B, A, a)
        finally:
            for who in (A, B):
                with suppress(EngineError):
                    self._engine.remove(_name(who))
        return [*from_a, *from_b]

    def _smallest_there(self) -> Release:
        with self._portal.database.reading() as tx:
            approved = db.releases.approved(tx).values()
        there = [each for each in approved if self._engine.has_image(each.reference)]
        if not there:
            raise EngineError(
                "no_image", "No approved image is on the VM yet.", "It comes by itself."
            )
        return min(there, key=lambda release: release.size_bytes)

    def _control(self, *people: str) -> None:
        for who in people:
            if not self._reaches(self._vm.address, PORTS[who]):
                raise EngineError(
                    "notebook_silent",
                    "The portal does not reach the containers that were to be tried.",
                    "Is PORTAL_GATEWAYS right on the VM?",
                )

    def _listens(self, who: str) -> _Seen:
        self._run(who, [])
        return self._said(who)

    def _tries(self, who: str, other: str, seen: _Seen) -> list[Cell]:
        doors = self._doors(other, seen)
        flat = [door for each in doors.values() for door in each]
        self._run(who, flat)
        opened = iter(self._line(who, "opened"))
        cells = []
        for target, each in doors.items():
            states = [next(opened) for _ in each]
            may = target == OUT and self._portal.settings.egress == "open"
            cells.append(
                Cell(f"a container of {who}", target, OPEN if any(states) else CLOSED, may)
            )
        return cells

    def _doors(self, other: str, seen: _Seen) -> Mapping[str, Sequence[Door]]:
        """What is tried, by what it is. `seen`: of the other, whose network's VM it is, too."""
        here = [self._vm.address, seen.gateway]
        settings = self._portal.settings
        return {
            OTHERS: [(seen.address, JUPYTER), *((host, PORTS[other]) for host in here)],
            SSH: [(host, 22) for host in here],
            ENGINE: [
                *((host, port) for host in here for port in (2375, 2376)),
                ("/var/run/docker.sock",),
                ("/run/docker.sock",),
            ],
            PORTAL: [
                (host, port)
                for host in _own_addresses()
                for port in (settings.public_port, settings.ssh_port, 8000, 9000)
            ],
            CLOUD: [(host, 80) for host in METADATA],
            GPUS: [("/dev/nvidia[0-9]*",)],
            OUT: list(OUTSIDE),
        }

    def _run(self, who: str, doors: Sequence[Door]) -> None:
        name, bridge = network(self._portal.settings, f"proof-{who.lower()}")
        spec = ContainerSpec(
            name=_name(who),
            image=self._image.reference,
            # Not a user's: observation leaves it alone.
            labels={f"{LABEL_PORTAL}.proof": self._portal.settings.public_origin},
            environment={**environment("", gpus=False), "KNOCK": json.dumps(doors)},
            publish={JUPYTER: (self._vm.address, PORTS[who])},
            volumes={},
            tmpfs={},
            memory_bytes=MEMORY_BYTES,
            shm_bytes=2**20,
            cpus=0.5,
            pids=64,
            hostname=f"proof-{who.lower()}",
            network=name,
            bridge=bridge[:15],
            command=("python3", "-c", _script()),
        )
        self._engine.remove(spec.name)  # of a measurement that was broken off
        self._engine.start(self._engine.create(spec))

    def _said(self, who: str) -> _Seen:
        return _Seen(self._line(who, "address"), self._line(who, "gateway"))

    def _line(self, who: str, key: str) -> Any:
        """What a container printed under this key."""
        deadline = time.monotonic() + ANSWER_S
        while True:
            for line in self._engine.logs(_name(who), tail=20).splitlines():
                said = _json(line.partition(b" ")[2])
                if key in said:
                    return said[key]
            status = self._engine.inspect(_name(who))
            if status is None or not status.running or time.monotonic() > deadline:
                raise EngineError(
                    "container_gone",
                    "A container that was to be tried ended, or said nothing.",
                    f"docker logs {_name(who)}",
                )
            time.sleep(POLL_S)


def _name(who: str) -> str:
    return f"portal-proof-{who.lower()}"


@cache
def _script() -> str:
    return Path(__file__).with_name("knocker.py").read_text(encoding="utf-8")


def _json(line: bytes) -> Mapping[str, Any]:
    try:
        said = json.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _own_addresses() -> list[str]:
    """Of the worker, which is on the portal's machine: what listens there is the portal."""
    found = socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET, socket.SOCK_STREAM)
    return sorted({str(each[4][0]) for each in found if not str(each[4][0]).startswith("127.")})


def _reaches(host: str, port: int) -> bool:
    deadline = time.monotonic() + CONNECT_S
    while time.monotonic() < deadline:
        try:
            with socket.create_connection((host, port), timeout=CONNECT_S):
                return True
        except OSError:
            time.sleep(POLL_S)
    return False
