"""`make bench` works: every row once, with the smallest sizes. What it measures is not asserted."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import bench
import pytest
import rows
from harness.people import Person
from stack import Stack


@pytest.fixture
def own_engine(stack: Stack, john: Person) -> Iterator[None]:
    """This machine's engine is the only VM that takes John's containers."""
    vms = json.loads(stack.admin("vm", "list"))
    others = [vm["name"] for vm in vms if vm["state"] == "active"]
    for name in others:
        stack.admin("vm", "drain", name)
    address = ("--engine", "unix:///var/run/docker.sock", "--address", stack.gateway)
    stack.admin("vm", "add", "bench-here", *address)
    yield
    john.remove_all()
    stack.admin("vm", "remove", "bench-here")
    for name in others:
        stack.admin("vm", "activate", name)


@pytest.mark.skipif(
    not os.environ.get("PORTAL_TEST_BENCH"),
    reason="not seen in a whole run since it has the engine to itself; set PORTAL_TEST_BENCH=1",
)
@pytest.mark.usefixtures("own_engine")
def test_every_row_of_the_benchmarks_is_measured(
    stack: Stack, person: Callable[[str], Person], tmp_path: Path
) -> None:
    results = tmp_path / "bench.json"
    made = rows.run(bench.benchmarks(stack, person("john").http, rows.SMALLEST), results)
    assert [row.what for row in made if row.failure] == []
    assert len(json.loads(results.read_text())) == len(made)
