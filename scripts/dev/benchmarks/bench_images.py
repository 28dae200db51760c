"""Bench of the registry: publishing again, image size, what the launch gate costs a start."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable

import docker
from stack import ROOT, Stack, build

BUDGET_MB = 900
# Runs in the worker's container: its own settings, the real registry, the real cosign.
MEASURE = """
import json, time, bootstrap
from portal import db
from portal.images import launch_gate
from registry.verifier import Verifier
settings = bootstrap.settings()
portal = bootstrap.portal(settings)
with portal.database.reading() as tx:
    release = db.releases.approved(tx)["ml-cpu"]
def timed(act):
    started = time.perf_counter(); act(); return time.perf_counter() - started
verify = Verifier(settings, portal.database)
asked = timed(lambda: verify(release))
def gate():
    launch_gate.check(settings, release, portal.now()); verify(release)
print(json.dumps([asked, [timed(gate) for _ in range(1000)]]))
"""


def rows(stack: Stack, rounds: int) -> list[tuple[str, ...]]:
    """The bench table's rows."""
    return [_publish(stack, rounds), _gate(stack), _size(stack)]


def _publish(stack: Stack, rounds: int) -> tuple[str, ...]:
    """Publish again with nothing changed, against a fully cached `docker build`."""
    folder, base = ROOT / "images" / "ml-cpu", "BASE_IMAGE=python:3.11-slim"
    build(folder, "bench-ml-cpu:cached", "--build-arg", base)
    ours = [timed(lambda: stack.publisher("image", "publish", "ml-cpu")) for _ in range(rounds)]
    plain = [
        timed(lambda: build(folder, "bench-ml-cpu:cached", "--build-arg", base))
        for _ in range(rounds)
    ]
    docker.from_env().images.remove("bench-ml-cpu:cached")
    mine, peer = statistics.median(ours), statistics.median(plain)
    return (
        "publish of ml-cpu, nothing changed / docker build",
        f"{mine:.1f} s",
        f"{peer:.1f} s",
        f"{mine / peer:.1f}",
        "< 30 s",
    )


def _gate(stack: Stack) -> tuple[str, ...]:
    asked, cached = json.loads(
        stack.compose("exec", "-T", "worker", "python3", "-c", MEASURE, capture=True)
    )
    mine = statistics.median(cached)
    return (
        "signature and policy, remembered / asked anew",
        f"{mine * 1e3:.3f} ms",
        f"{asked * 1e3:.0f} ms",
        f"{mine / asked:.4f}",
        "< 20 ms",
    )


def _size(stack: Stack) -> tuple[str, ...]:
    release = next(
        one for one in json.loads(stack.admin("image", "list")) if one["image"] == "ml-cpu"
    )
    megabytes = release["size_bytes"] / 1e6
    return (
        "ml-cpu on disk / its budget",
        f"{megabytes:.0f} MB",
        f"{BUDGET_MB} MB",
        f"{megabytes / BUDGET_MB:.2f}",
        "< 900 MB",
    )


def timed(act: Callable[[], object]) -> float:
    """Seconds that it takes."""
    started = time.perf_counter()
    act()
    return time.perf_counter() - started
