"""Bench of decisions over a large fleet: pure functions, the real database, and one page."""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

from app_pages.parts import session
from bench_page import remember, times
from portal import users, vms
from portal.context import Portal
from portal.core.engine import GpuReport, SeenGpu
from portal.core.models import CommandLine, Gpu, GpuState, Identity, Vm, VmState
from portal.core.settings import Settings
from portal.db.connection import Database
from portal.scheduling import placement, queue
from portal.scheduling.placement import Need, VmCapacity
from portal.scheduling.queue import Waiting
from stack import ROOT
from streamlit.testing.v1 import AppTest

VMS, GPUS_PER_VM, LINE, BOARD_VMS = 1000, 8, 1000, 100
BENCH = CommandLine("bench")
Row = tuple[str, ...]


def rows(rounds: int) -> list[Row]:
    """The bench table's rows; the peer is the same work on a fleet of a tenth."""
    rng = random.Random(1)  # noqa: S311  (the same line every time)
    line_of = [
        Waiting(
            str(n),
            Need(memory_gb=rng.choice([1, 4, 16]), cpus=1, gpus=rng.choice([1, 2, 4, 8])),
            "pool",
        )
        for n in range(LINE)
    ]
    big, small = _capacities(VMS), _capacities(VMS // 10)
    hundred, taken = _capacities(100), _capacities(100, leased=GPUS_PER_VM)
    need = Need(memory_gb=4, cpus=2, gpus=2, min_driver="525.60.13")
    distinct = [
        Waiting(str(n), Need(memory_gb=1 + n / 10, cpus=1, gpus=rng.choice([1, 2, 4, 8])), "pool")
        for n in range(LINE)
    ]
    return [
        _row(
            f"placement over {VMS} VMs x {GPUS_PER_VM} GPUs / {VMS // 10} VMs",
            "< 20 ms",
            rounds,
            lambda: placement.place(need, list(big.values())),
            lambda: placement.place(need, list(small.values())),
        ),
        _row(
            f"a line of {LINE}, 100 VMs empty / {LINE // 10} waiting",
            "< 100 ms",
            rounds,
            lambda: queue.evaluate(line_of, {"pool": list(hundred)}, hundred),
            lambda: queue.evaluate(line_of[: LINE // 10], {"pool": list(hundred)}, hundred),
        ),
        _row(
            f"a line of {LINE}, 100 VMs full / {LINE // 10} waiting",
            "< 100 ms",
            rounds,
            lambda: queue.evaluate(line_of, {"pool": list(taken)}, taken),
            lambda: queue.evaluate(line_of[: LINE // 10], {"pool": list(taken)}, taken),
        ),
        _row(
            f"the same, every one of the {LINE} asks for another amount",
            "< 100 ms",
            rounds,
            lambda: queue.evaluate(distinct, {"pool": list(taken)}, taken),
            lambda: queue.evaluate(distinct[: LINE // 10], {"pool": list(taken)}, taken),
        ),
        _board(rounds),
    ]


def _row(
    what: str, aim: str, rounds: int, ours: Callable[[], object], peer: Callable[[], object]
) -> Row:
    mine, floor = (statistics.median(_timed(call) for _ in range(rounds)) for call in (ours, peer))
    return what, f"{mine * 1e3:.1f} ms", f"{floor * 1e3:.1f} ms", f"{mine / floor:.2f}", aim


def _timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _capacities(count: int, leased: int | None = None) -> dict[int, VmCapacity]:
    """A fleet with 0 to 7 GPUs leased on each VM, or so many on all."""
    capacities = {}
    for n in range(count):
        vm = Vm(
            n,
            f"vm-{n:04}",
            "ssh://p@x",
            "10.0.0.1",
            None,
            "shared",
            VmState.ACTIVE,
            True,
            None,
            64,
            512.0,
            "535.104.05",
            "12.2",
            "nvidia",
            None,
            None,
        )
        gpus = [
            Gpu(f"GPU-{n}-{i}", n, i, "A100", None, GpuState.OK, None, 80, 0, 0, 40)
            for i in range(GPUS_PER_VM)
        ]
        held = {gpu.uuid for gpu in gpus[: leased if leased is not None else n % GPUS_PER_VM]}
        capacities[n] = placement.capacity_of(vm, gpus, held, 0)
    return capacities


def _board(rounds: int) -> Row:
    """The GPUs page, on the server, for an administrator of 100 VMs."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(database_url=f"sqlite:///{folder}/bench.db", admins="1")
        database = Database(settings.database_url)
        database.migrate()
        portal = Portal(settings, database, {}, lambda: datetime.now(UTC), lambda: None)
        ray = users.user_of(
            portal, Identity("edipi:1", "R.1", "Ray", "1", None, "", datetime.now(UTC))
        )
        for n in range(BOARD_VMS):
            vm = vms.add(portal, BENCH, f"vm-{n:03}", f"ssh://p@vm-{n}", f"10.0.0.{n + 1}")
            gpus = tuple(
                SeenGpu(f"GPU-{n}-{i}", i, "A100", None, 80, 11, 37, 50) for i in range(GPUS_PER_VM)
            )
            vms.record_gpus(portal, vm, GpuReport(gpus, "535.104.05", "12.2", "nvidia"))
        empty = AppTest.from_string("import streamlit as st\nst.write('x')", default_timeout=20)
        with (
            patch.object(session, "_wired", lambda: (portal, None, None)),
            patch.object(session, "sign_in", lambda: remember(ray)),
        ):
            page = AppTest.from_file(
                str(ROOT / "streamlit-service" / "app.py"), default_timeout=20
            ).run()
            page.switch_page(str(Path("app_pages") / "gpus.py"))
            mine, floor = (
                statistics.median(times(page, rounds)),
                statistics.median(times(empty, rounds)),
            )
        database.close()
    return (
        f"GPU board of {BOARD_VMS} VMs / an empty page",
        f"{mine * 1e3:.0f} ms",
        f"{floor * 1e3:.0f} ms",
        f"{mine / floor:.2f}",
        "< 300 ms",
    )
