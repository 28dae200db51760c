"""`make bench` works: every row once, with the smallest sizes. What it measures is not asserted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import bench
import pytest
import rows
from harness.people import JOHN, Person
from stack import Stack


@pytest.fixture
def own_engine(stack: Stack, john: Person) -> Iterator[None]:
    """This machine's engine is John's own VM: his home folders elsewhere tie him to none."""
    place = ("--engine", "unix:///var/run/docker.sock", "--address", stack.gateway)
    stack.admin("vm", "add", "bench-here", *place, "--owner", JOHN)
    yield
    john.remove_all()
    stack.admin("vm", "remove", "bench-here")


@pytest.mark.usefixtures("own_engine")
def test_every_row_of_the_benchmarks_is_measured(
    stack: Stack, person: Callable[[str], Person], tmp_path: Path
) -> None:
    results = tmp_path / "bench.json"
    made = rows.run(bench.benchmarks(stack, person("john").http, rows.SMALLEST), results)
    assert [row.what for row in made if row.failure] == []
    assert len(json.loads(results.read_text())) == len(made)
