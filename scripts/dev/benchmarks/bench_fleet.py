"""Bench of decisions over a large fleet: pure functions, the real database, and one page."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

from app_pages.parts import session
from bench_page import runs, times
from builds import ROOT
from portal import users, vms
from portal.context import Portal
from portal.core.engine import GpuReport, SeenGpu
from portal.core.models import Gpu, GpuState, Vm, VmState
from portal.core.people import CommandLine, Identity
from portal.core.settings import Settings
from portal.db.connection import Database
from portal.scheduling import placement, queue
from portal.scheduling.placement import Need, VmCapacity
from portal.scheduling.queue import Waiting
from rows import Row, Sizes, row, timed
from streamlit.testing.v1 import AppTest

GPUS_PER_VM = 8
BENCH = CommandLine("bench")


def benchmarks(sizes: Sizes) -> dict[str, Callable[[], Row]]:
    """The rows, by name; the peer is the same work on a fleet or queue of a tenth."""
    rounds, fleet_size, length = sizes.rounds, sizes.fleet, sizes.queue
    rng = random.Random(1)  # noqa: S311  (the same queue every time)
    big, small = _capacities(fleet_size), _capacities(fleet_size // 10)
    hundred, taken = _capacities(100), _capacities(100, leased=GPUS_PER_VM)
    need = Need(memory_gb=4, cpus=2, gpus=2, min_driver="525.60.13")
    alike = [_waiting(n, rng.choice([1, 4, 16]), rng.choice([1, 2, 4, 8])) for n in range(length)]
    distinct = [_waiting(n, 1 + n / 10, rng.choice([1, 2, 4, 8])) for n in range(length)]

    def placing() -> Row:
        measured = [timed(lambda: placement.place(need, list(big.values()))) for _ in range(rounds)]
        peer = [timed(lambda: placement.place(need, list(small.values()))) for _ in range(rounds)]
        what = f"placement over {fleet_size} VMs x {GPUS_PER_VM} GPUs / {fleet_size // 10} VMs"
        return row(what, measured, peer, "< 20 ms", "ms")

    def queueing(what: str, queued: list[Waiting], fleet: dict[int, VmCapacity]) -> Row:
        eligible, tenth = {"pool": list(fleet)}, queued[: length // 10]
        measured = [timed(lambda: queue.evaluate(queued, eligible, fleet)) for _ in range(rounds)]
        peer = [timed(lambda: queue.evaluate(tenth, eligible, fleet)) for _ in range(rounds)]
        return row(f"{what} / {length // 10} waiting", measured, peer, "< 100 ms", "ms")

    return {
        "placement": placing,
        "queue, empty": lambda: queueing(f"a queue of {length}, 100 VMs empty", alike, hundred),
        "queue, full": lambda: queueing(f"a queue of {length}, 100 VMs full", alike, taken),
        "queue, distinct": lambda: queueing("the same, each asks for another", distinct, taken),
        "GPUs page": lambda: _gpus_page(sizes),
    }


def _waiting(number: int, memory_gb: float, gpus: int) -> Waiting:
    return Waiting(str(number), Need(memory_gb=memory_gb, cpus=1, gpus=gpus), "pool")


def _capacities(count: int, leased: int | None = None) -> dict[int, VmCapacity]:
    """A fleet with 0 to 7 GPUs leased on each VM, or so many on all."""
    capacities = {}
    for n in range(count):
        vm = Vm(
            id=n,
            name=f"vm-{n:04}",
            engine_url="ssh://p@x",
            address="10.0.0.1",
            owner_id=None,
            pool="shared",
            state=VmState.ACTIVE,
            reachable=True,
            error=None,
            cpus=64,
            memory_gb=512.0,
            driver="535.104.05",
            cuda="12.2",
            gpu_access="nvidia",
            gpu_problem=None,
            last_seen_at=None,
        )
        gpus = [
            Gpu(f"GPU-{n}-{i}", n, i, "A100", None, GpuState.OK, None, 80, 0, 0, 40)
            for i in range(GPUS_PER_VM)
        ]
        held = {gpu.uuid for gpu in gpus[: leased if leased is not None else n % GPUS_PER_VM]}
        capacities[n] = placement.capacity_of(vm, gpus, held, 0)
    return capacities


def _gpus_page(sizes: Sizes) -> Row:
    """The GPUs page, on the server, for an administrator of many VMs."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(database_url=f"sqlite:///{folder}/bench.db", admins="1")
        database = Database(settings.database_url)
        database.migrate()
        portal = Portal(settings, database, {}, lambda: datetime.now(UTC), lambda: None)
        identity = Identity("edipi:1", "R.1", "Ray", "1", None, "", datetime.now(UTC))
        ray = users.user_of(portal, identity)
        for n in range(sizes.page_vms):
            vm = vms.add(portal, BENCH, f"vm-{n:03}", f"ssh://p@vm-{n}", f"10.0.0.{n + 1}")
            gpus = tuple(
                SeenGpu(f"GPU-{n}-{i}", i, "A100", None, 80, 11, 37, 50) for i in range(GPUS_PER_VM)
            )
            vms.record_gpus(portal, vm, GpuReport(gpus, "535.104.05", "12.2", "nvidia"))
        empty = AppTest.from_string("import streamlit as st\nst.write('x')", default_timeout=20)
        with (
            patch.object(session, "_wired", lambda: (portal, None)),
            patch.object(session, "sign_in", lambda: ray),
            patch.object(session, "card", lambda: identity),
        ):
            page = AppTest.from_file(
                str(ROOT / "streamlit-service" / "app.py"), default_timeout=20
            ).run()
            page.switch_page(str(Path("app_pages") / "gpus.py"))
            full, bare = times(runs(page), sizes.rounds), times(runs(empty), sizes.rounds)
        database.close()
    return row(f"GPUs of {sizes.page_vms} VMs / an empty page", full, bare, "< 300 ms", "ms")
