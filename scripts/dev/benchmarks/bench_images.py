"""Bench of the registry: publishing again, image size, what the launch gate costs a start."""

from __future__ import annotations

import json
from collections.abc import Callable

from ahead import build_ahead
from rows import Row, Sizes, row, timed
from stack import Stack

BUDGET_MB = 1300
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
print(json.dumps([asked, [timed(gate) for _ in range({calls})]]))
"""


def benchmarks(stack: Stack, sizes: Sizes) -> dict[str, Callable[[], Row]]:
    """The rows, by name."""
    return {
        "publish": lambda: _publish(stack, sizes.rounds),
        "launch gate": lambda: _gate(stack, sizes.calls),
        "image size": lambda: _size(stack),
    }


def _publish(stack: Stack, rounds: int) -> Row:
    """Publish again with nothing changed, against a fully cached `docker build`."""
    build_ahead("ml-cpu")
    measured = [timed(lambda: stack.publisher("image", "publish", "ml-cpu")) for _ in range(rounds)]
    plain = [timed(lambda: build_ahead("ml-cpu")) for _ in range(rounds)]
    return row("publish of ml-cpu, nothing changed / docker build", measured, plain, "< 30 s")


def _gate(stack: Stack, calls: int) -> Row:
    asked, cached = json.loads(
        stack.compose(
            "exec",
            "-T",
            "worker",
            "python3",
            "-c",
            MEASURE.replace("{calls}", str(calls)),
            capture=True,
        )
    )
    return row("signature and policy, cached / asked anew", cached, [asked], "< 20 ms", "ms")


def _size(stack: Stack) -> Row:
    releases = json.loads(stack.admin("image", "list"))
    size = next(each["size_bytes"] for each in releases if each["image"] == "ml-cpu")
    return Row("ml-cpu on disk / its budget", size / 1e6, BUDGET_MB, "<= 1", "MB")
