"""How big people's homes are: counted by the engines, seldom, because it reads through them."""

from __future__ import annotations

import threading
import time

import structlog

from portal import db
from portal.context import Portal
from portal.core.engine import Engine
from portal.core.errors import EngineError
from portal.core.models import Vm
from portal.core.people import User
from portal.core.resources import GIB
from portal.deployments.container_spec import home_volume

log = structlog.get_logger()

FIRST_S = 30.0
"""Until the first time, while no container runs."""
EVERY_S = 900.0
SHARE = 0.02
"""Of a VM's time that counting may take: where it takes long, it is done less often."""


class Homes:
    """What was last counted, of all VMs. Thread-safe."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._gb: dict[tuple[int, str], float] = {}
        self._took_s: dict[int, float] = {}

    def every_s(self, vm: Vm) -> float:
        """How long to wait before they are counted again on this VM."""
        took_s = self._took_s.get(vm.id)
        return FIRST_S if took_s is None else max(EVERY_S, took_s / SHARE)

    def measure(self, portal: Portal, vm: Vm, engine: Engine) -> None:
        """Ask the VM, where containers run on it."""
        if not vm.reachable:
            return
        with portal.database.reading() as tx:
            running = db.deployments.running_on(tx, vm.id)
        if not running:
            return
        started = time.monotonic()
        try:
            sizes = engine.volume_sizes() or {}
        except EngineError as error:
            log.info("homes_not_measured", vm=vm.name, cause=error.cause)
            sizes = {}
        with self._guard:
            self._took_s[vm.id] = time.monotonic() - started
            self._gb = {key: gb for key, gb in self._gb.items() if key[0] != vm.id}
            self._gb |= {(vm.id, name): size / GIB for name, size in sizes.items()}

    def gb(self, vm: Vm | None, owner: User) -> float | None:
        """Of somebody's home on a VM; None where it was not counted."""
        with self._guard:
            return None if vm is None else self._gb.get((vm.id, home_volume(owner)))
