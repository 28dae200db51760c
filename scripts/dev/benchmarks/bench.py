"""`make bench`: ratios in one run, medians.

Of the demo, which `make bench` starts; uses John, leaves nothing behind.

Each figure has its floor or peer measured in the same run, alternating, on the same machine.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

import bench_audit
import bench_authz
import bench_browser
import bench_demo
import bench_fleet
import bench_gateway
import bench_images
import bench_offload
import bench_operation
import bench_page
import bench_people
import bench_sampling
import bench_ssh
import bench_start
import bench_tabs
import httpx2
import structlog
from builds import ROOT
from demo import demo_stack
from rows import SMALLEST, Row, Sizes, row, run
from stack import Stack


def main() -> None:
    """Print the table, or the rows that are named; exit code 1 when one failed."""
    # The table is not broken by what the portal's own code logs in this process.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    stack = demo_stack()
    with client(stack, "john") as john:
        every = benchmarks(stack, john, Sizes())
        wanted = {name: every[name] for name in sys.argv[1:]} or every
        rows = run(wanted, ROOT / "artifacts" / "bench.json")
    raise SystemExit(any(each.failure for each in rows))


def benchmarks(stack: Stack, john: httpx2.Client, sizes: Sizes) -> dict[str, Callable[[], Row]]:
    """Every row, by name. John's containers must run on this machine's engine."""
    return {
        "start": lambda: bench_start.deploy(stack, john, sizes.rounds),
        "stop": lambda: bench_start.stop(stack, john, sizes.rounds),
        "authz": lambda: bench_gateway.authz(stack, john, sizes.calls),
        "gateway": lambda: bench_gateway.gateway(stack, john, sizes),
        "gateway start": lambda: bench_gateway.start(stack, sizes.rounds),
        "handover": lambda: bench_start.handover(stack, john, sizes.rounds),
        "page": lambda: page(sizes.rounds),
        # Pages in a browser beside the tests' own load are no measure: at full size only.
        **(bench_browser.benchmarks(stack, john, sizes) if sizes != SMALLEST else {}),
        **bench_tabs.benchmarks(stack, john, sizes),
        **bench_ssh.benchmarks(stack, john, sizes),
        "idle": lambda: bench_start.idle(stack, john, sizes),
        **bench_images.benchmarks(stack, sizes),
        **bench_fleet.benchmarks(sizes),
        **bench_people.benchmarks(sizes),
        **bench_authz.benchmarks(sizes),
        **bench_audit.benchmarks(sizes),
        **bench_offload.benchmarks(sizes),
        **bench_sampling.benchmarks(sizes),
        **bench_operation.benchmarks(stack, sizes),
        "first command": lambda: bench_demo.first_command(sizes),
    }


def client(stack: Stack, person: str) -> httpx2.Client:
    """An HTTPS client with a person's certificate, trusting the demo CA only."""
    context = stack.tls(person)
    return httpx2.Client(base_url=stack.url, verify=context, timeout=30, trust_env=False)


def page(rounds: int) -> Row:
    """A look at 10 containers for My containers, against one run of an empty page."""
    full, empty = bench_page.run(rounds * 2)
    return row("My containers with 10 containers / an empty page", full, empty, "< 30 ms", "ms")


if __name__ == "__main__":
    main()
