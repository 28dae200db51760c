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

import structlog

from portal import db
from portal.context import Portal
from portal.core.engine import LABEL_PORTAL, ContainerSpec, Engine
from portal.core.errors import EngineError
from portal.core.isolation import CLOSED, NOT_TRIED, OPEN, OUT, Cell, Isolation
from portal.core.models import Vm, VmState
from portal.deployments.container_spec import environment, network
from portal.vms import isolation
from portal.vms.health import NO_GATE

A, B = "A", "B"
PORTS = {A: (9990, 9991, 9992), B: (9995, 9996, 9997)}
"""On the VM; outside every user's range, so that they disturb nobody."""
INSIDE = (8888, 6006, 22)
"""Jupyter, TensorBoard, SSH."""
MOST_OTHERS = 3
log = structlog.get_logger()
MEMORY_BYTES = 128 * 2**20
POLL_S, ANSWER_S, CONNECT_S, ANSWERS_S = 0.1, 30.0, 3.0, 1.0
UNPREPARED = (None, "none", NO_GATE)
METADATA = ("169.254.169.254", "168.63.129.16", "100.100.100.200")
OUTSIDE = (("1.1.1.1", 443), ("9.9.9.9", 443))
"""Name services of the internet that answer HTTPS."""
OTHERS, OTHERS_SSH = "the other's notebook and TensorBoard", "the other's SSH"
SSH, ENGINE, OTHER_VMS = "the VM's SSH", "the VM's engine", "other VMs"
PORTAL, DATABASE, CLOUD, GPUS = "the portal", "the database", "cloud metadata", "GPUs"
NEEDS_A_LISTENER = (PORTAL, DATABASE, OTHER_VMS)
"""Closed says something only where the portal itself is answered."""
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
        self._portal = portal
        self._reaches, self._answers = reaches or _reaches, reaches or _answers
        self._due_at: dict[int, datetime] | None = None
        self._tidied: set[int] = set()

    def is_untidy(self, vm: Vm) -> bool:
        """Whether a worker that was killed may have left something on a VM."""
        return vm.reachable and vm.firewall not in UNPREPARED and vm.id not in self._tidied

    def tidy(self, portal: Portal, vm: Vm, engine: Engine) -> None:
        """Remove it; once for each VM, before anything is measured there."""
        try:
            for who in (A, B):
                engine.remove(_name(portal, who))
        except EngineError as error:
            log.warning("proof_not_tidied", vm=vm.name, code=error.code, cause=error.cause)
            return
        self._tidied.add(vm.id)

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
        """Measure and record; what cannot be measured is recorded with the reason.

        What is open is tried once more before anything follows from it.
        """
        self._tidied.add(vm.id)
        began, at = time.monotonic(), portal.now()
        every = timedelta(seconds=portal.settings.proof_interval_s)
        if self._due_at is not None:
            self._due_at[vm.id] = at + min(AGAIN, every)  # whatever goes wrong
        cells: list[Cell] = []
        problem = ""
        try:
            cells = self._cells(portal, vm, engine)
            if any(cell.is_breach for cell in cells):
                once_more = self._cells(portal, vm, engine)
                again = {(each.source, each.target): each for each in once_more}
                cells = [
                    again[each.source, each.target] if each.is_breach else each for each in cells
                ]
        except EngineError as error:
            problem = f"{error.message} {error.cause}".strip()
        except (OSError, ValueError) as error:
            log.exception("isolation_not_measured", vm=vm.name)
            problem = f"It could not be measured: {type(error).__name__}."
        measured = Isolation(at, time.monotonic() - began, cells, problem)
        isolation.record(portal, vm, measured)
        if self._due_at is not None and not problem:
            self._due_at[vm.id] = at + every
        return measured

    def _cells(self, portal: Portal, vm: Vm, engine: Engine) -> list[Cell]:
        return _Proof(portal, vm, engine, self._reaches, self._answers).cells()


class _Proof:
    """One measurement on one VM."""

    def __init__(
        self, portal: Portal, vm: Vm, engine: Engine, reaches: Reaches, answers: Reaches
    ) -> None:
        self._portal, self._vm, self._engine = portal, vm, engine
        self._reaches, self._answers = reaches, answers
        with portal.database.reading() as tx:
            approved = list(db.releases.approved(tx).values())
            self._others = [each for each in db.vms.all_vms(tx) if each.id != vm.id][:MOST_OTHERS]
        there = [each for each in approved if engine.has_image(each.reference)]
        self._images = sorted(there, key=lambda release: release.size_bytes)

    def cells(self) -> list[Cell]:
        """Of both."""
        try:
            b = self._first_listens(B)
            from_a = self._tries(A, B, b)
            a = self._said(A)
            self._control(A, B)
            from_b = self._tries(B, A, a)
            self._control(A, B)  # both were there all the while
        finally:
            for who in (A, B):
                with suppress(EngineError):
                    self._engine.remove(_name(self._portal, who))
        return [*from_a, *from_b]

    def _first_listens(self, who: str) -> _Seen:
        """With the smallest image that can: one may have no Python."""
        if not self._images:
            raise EngineError(
                "no_image", "No approved image is on the VM yet.", "It comes by itself."
            )
        while True:
            try:
                self._run(who, [])
                return self._said(who)
            except EngineError:
                if len(self._images) == 1:
                    raise
                self._images.pop(0)

    def _control(self, *people: str) -> None:
        for who in people:
            for port in PORTS[who]:
                if not self._reaches(self._vm.address, port):
                    raise EngineError(
                        "notebook_silent",
                        "The portal does not reach the containers that were to be tried.",
                        "Is PORTAL_GATEWAYS right on the VM?",
                    )

    def _tries(self, who: str, other: str, seen: _Seen) -> list[Cell]:
        doors = self._doors(other, seen)
        flat = [door for each in doors.values() for door in each]
        self._run(who, flat)
        opened = iter(self._line(who, "opened"))
        cells = []
        for target, each in doors.items():
            states = [next(opened) for _ in each]
            state = OPEN if any(states) else CLOSED if each else NOT_TRIED
            may = target == OUT and self._portal.settings.egress == "open"
            cells.append(Cell(f"a container of {who}", target, state, may))
        return cells

    def _doors(self, other: str, seen: _Seen) -> Mapping[str, Sequence[Door]]:
        """What is tried, by what it is. `seen`: of the other, whose network's VM it is, too."""
        here = [self._vm.address, seen.gateway]
        notebook, board, ssh = PORTS[other]
        doors: dict[str, Sequence[Door]] = {
            OTHERS: [
                *((seen.address, port) for port in INSIDE[:2]),
                *((host, port) for host in here for port in (notebook, board)),
            ],
            OTHERS_SSH: [(seen.address, INSIDE[2]), *((host, ssh) for host in here)],
            SSH: [(host, 22) for host in here],
            ENGINE: [
                *((host, port) for host in here for port in (2375, 2376)),
                ("/var/run/docker.sock",),
                ("/run/docker.sock",),
            ],
            OTHER_VMS: [(each.address, 22) for each in self._others],
            PORTAL: self._portals(),
            DATABASE: self._databases(),
            CLOUD: [(host, 80) for host in METADATA],
            GPUS: [("/dev/nvidia[0-9]*",)],
            OUT: list(OUTSIDE),
        }
        for target in NEEDS_A_LISTENER:
            doors[target] = [
                door for door in doors[target] if self._answers(str(door[0]), int(door[1]))
            ]
        return doors

    def _portals(self) -> list[Door]:
        """The gateway, the SSH door, the registry and this worker, wherever they may be."""
        settings = self._portal.settings
        registry, _, port = settings.registry_host.rpartition(":")
        hosts = {settings.public_host, _gateway(), *_own_addresses()}
        addresses = {address for host in hosts for address in _addresses(host)}
        ports = {settings.public_port, settings.ssh_port, settings.served_ports[0], 9000}
        doors = [(address, number) for address in sorted(addresses) for number in sorted(ports)]
        if port.isdecimal():
            doors += [(address, int(port)) for address in _addresses(registry)]
        return [*doors]

    def _databases(self) -> list[Door]:
        known = db.addresses(self._portal.settings.database_url)
        return [(address, port) for host, port in known for address in _addresses(host)]

    def _run(self, who: str, doors: Sequence[Door]) -> None:
        name, bridge = network(self._portal.settings, f"proof-{who.lower()}")
        spec = ContainerSpec(
            name=_name(self._portal, who),
            image=self._images[0].reference,
            # Not a user's: observation leaves it alone.
            labels={f"{LABEL_PORTAL}.proof": self._portal.settings.public_origin},
            environment={**environment("", gpus=False), "KNOCK": json.dumps(doors)},
            publish={
                inside: (self._vm.address, port)
                for inside, port in zip(INSIDE, PORTS[who], strict=True)
            },
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
            for line in self._engine.logs(_name(self._portal, who), tail=20).splitlines():
                said = _json(line.partition(b" ")[2])
                if key in said:
                    return said[key]
            status = self._engine.inspect(_name(self._portal, who))
            if status is None or not status.running or time.monotonic() > deadline:
                raise EngineError(
                    "container_gone",
                    "A container that was to be tried ended, or said nothing.",
                    f"docker logs {_name(self._portal, who)}",
                )
            time.sleep(POLL_S)


def _name(portal: Portal, who: str) -> str:
    """Two portals may use one VM: theirs is in the network's name."""
    return f"{network(portal.settings, 'proof')[0]}-{who.lower()}"


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
    return _addresses(socket.gethostname())


def _addresses(host: str) -> list[str]:
    """IPv4, as VMs' firewalls are, and not one's own; none for a name that nobody knows."""
    try:
        found = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)
    except OSError:
        return []
    every = {str(each[4][0]) for each in found}
    return sorted(each for each in every if not each.startswith("127."))


def _gateway() -> str:
    """The portal's machine, as its services' network has it (route(8), in hexadecimal)."""
    routes = Path("/proc/net/route")
    for line in routes.read_text(encoding="ascii").splitlines() if routes.is_file() else ():
        fields = line.split()
        if fields[1] == "00000000":
            return socket.inet_ntoa(bytes.fromhex(fields[2])[::-1])
    return ""


def _answers(host: str, port: int) -> bool:
    """Whether somebody listens there now."""
    try:
        with socket.create_connection((host, port), timeout=ANSWERS_S):
            return True
    except OSError:
        return False


def _reaches(host: str, port: int) -> bool:
    deadline = time.monotonic() + CONNECT_S
    while time.monotonic() < deadline:
        try:
            with socket.create_connection((host, port), timeout=CONNECT_S):
                return True
        except OSError:
            time.sleep(POLL_S)
    return False
