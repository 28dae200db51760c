"""`make soak`: people work and VMs fail for half an hour; no service grows meanwhile.

Not collected by `make test`. PORTAL_SOAK_MINUTES sets how long.
"""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import httpx2
import pytest
from builds import StackError
from harness.fleet import TestVm
from harness.injury import OF_A_VM, lose_power
from harness.people import Person, client
from stack import Stack
from streamlit.proto.BackMsg_pb2 import BackMsg
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException
from websockets.typing import Origin, Subprotocol

MINUTES = float(os.environ.get("PORTAL_SOAK_MINUTES", "30"))
SERVICES = ("authz", "api", "ui", "worker", "proxy")
SAMPLE_S, FAULT_S, LOOK_S = 15.0, 60.0, 30.0
WARM = 0.3
"""This share of the time fills pools and caches."""
SESSIONS = 140
"""Streamlit keeps 128 sessions that were left, for two minutes at least: so many come before."""
GROWTH = {"files": 12.0, "threads": 6.0, "memory_mb": 25.0}
"""What may come and go with the work of the moment, between the middle and the end."""
LOOK = """
ls /proc/[0-9]*/fd 2>/dev/null | grep -c '^[0-9]'
cat /proc/[0-9]*/status 2>/dev/null |
    awk '/^Threads/ {t += $2} /^RssAnon/ {m += $2} END {print t; printf "%.1f\\n", m / 1024}'
"""
PATIENT = (httpx2.HTTPError, AssertionError, KeyError, OSError, WebSocketException)
"""What people run into while something is broken: they try again."""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.timeout(MINUTES * 60 + 1200)
def test_nothing_grows_while_people_work_and_vms_fail(
    stack: Stack, vm_a: TestVm, jane: Person, john: Person
) -> None:
    for _ in range(SESSIONS):
        look(stack)
    until = time.monotonic() + MINUTES * 60
    samples: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    counts: dict[str, int] = defaultdict(int)
    with at_once(
        until,
        counts,
        works=lambda: work(jane),
        reads=lambda: read(john),
        looks=lambda: look(stack),
        fails=lambda: fail(vm_a, random.choice([*OF_A_VM.values()])),
    ):
        while time.monotonic() < until:
            for service in SERVICES:
                with suppress(StackError, ValueError):
                    samples[service].append(sample(stack, service))
            time.sleep(SAMPLE_S)  # of the figures, not of a wait
    lose_power(vm_a)  # whatever state the last fault left it in
    print(f"\n{MINUTES:g} minutes: " + ", ".join(f"{n} × {what}" for what, n in counts.items()))
    grown = {service: growth(service, rows) for service, rows in samples.items()}
    idle = {"works", "reads", "looks", "fails"} - counts.keys()
    assert (idle, {service for service in SERVICES if len(samples[service]) < 2}) == (set(), set())
    assert not [what for found in grown.values() for what in found], grown


def sample(stack: Stack, service: str) -> tuple[float, ...]:
    """Open files, threads, memory of its own (MB), over all its processes."""
    user = ("--user", "10002") if service == "proxy" else ()
    said = stack.compose("exec", "-T", *user, service, "sh", "-c", LOOK, capture=True)
    files, threads, memory = map(float, said.split())
    return files, threads, memory


def growth(service: str, rows: list[tuple[float, ...]]) -> list[str]:
    """Prints a service's figures; returns what grew."""
    warm = rows[int(len(rows) * WARM) :]
    third = max(len(warm) // 3, 1)
    found = []
    for column, (name, may) in enumerate(GROWTH.items()):
        middle = statistics.median(row[column] for row in warm[:third])
        end = statistics.median(row[column] for row in warm[-third:])
        most = max(row[column] for row in rows)
        figures = f"then {middle:7.1f}, at the end {end:7.1f}, most {most:7.1f}"
        print(f"{service:8}{name:10} warm {figures}")
        if end > middle + may and end > 1.1 * middle:
            found.append(f"{name}: {middle:g} → {end:g}")
    return found


@contextmanager
def at_once(until: float, counts: dict[str, int], **jobs: Callable[[], None]) -> Iterator[None]:
    """Each job again and again, in a thread of its own."""

    def go_on(name: str, job: Callable[[], None]) -> None:
        while time.monotonic() < until:
            try:
                job()
                counts[name] += 1
            except PATIENT:
                counts[f"{name}, in vain"] += 1
                time.sleep(1)  # as people do

    threads = [threading.Thread(target=go_on, args=job, daemon=True) for job in jobs.items()]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join(120)


def work(jane: Person) -> None:
    """A container's whole life; what a fault left of the one before goes first."""
    jane.remove_all()
    made = jane.settled(jane.deploy(f"soak-{time.monotonic_ns() % 10**6}")["id"])
    for action in ("restart", "stop", "start"):
        jane.act(made["id"], action)
        jane.settled(made["id"])
    jane.http.delete(f"/api/v1/deployments/{made['id']}")
    jane.settled(made["id"])


def read(john: Person) -> None:
    """Lists, logs, events that are left before they end."""
    mine = john.http.get("/api/v1/deployments").json()
    if not mine:
        john.deploy("read")
    for each in mine:
        john.http.get(f"/api/v1/deployments/{each['id']}/logs")
        with john.http.stream("GET", f"/api/v1/deployments/{each['id']}/events") as events:
            next(events.iter_lines(), None)
        if "jupyter" in each["urls"]:
            john.http.get(f"{each['urls']['jupyter']}api/status")


def look(stack: Stack) -> None:
    """A page, as a browser opens and leaves it."""
    with client(stack, "john") as http:
        http.get("/containers")
    asyncio.run(asyncio.wait_for(_page(stack), LOOK_S))


async def _page(stack: Stack) -> None:
    """In one thread: TLS 1.3 of Python 3.11 may lose what one writes while another reads."""
    message = BackMsg()
    message.rerun_script.query_string = ""
    async with connect(
        f"wss://{stack.host}:{stack.port}/_stcore/stream",
        ssl=stack.tls("john"),
        origin=Origin(stack.url),
        subprotocols=[Subprotocol("streamlit")],
        proxy=None,
        close_timeout=1,
    ) as page:
        await page.send(message.SerializeToString())
        for _ in range(10):
            await page.recv()


def fail(vm: TestVm, fault: Callable[[TestVm], None]) -> None:
    fault(vm)
    time.sleep(FAULT_S)  # people go on meanwhile
