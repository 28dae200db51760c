"""The portal's clock jumps by an hour, forth and back: what runs goes on, and work is done."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import builds
import pytest
from harness import HARNESS, checker
from harness.people import somebody, wait_until
from harness.production_system import machine
from stack import Stack

SERVICES = ("worker", "api", "authz")
HOURS = ("+3600", "+0", "+3600")
"""Seconds ahead, one after the other: from +3600 to +0 the clock is set back."""


@pytest.fixture
def jump(production: Stack, tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Sets the services' clock, seconds ahead of this machine's."""
    builds.build(HARNESS / "clock", "container-portal-test-clock:dev")
    offset = tmp_path / "offset"

    def to(seconds: str) -> None:
        offset.write_text(f"{seconds}\n")
        offset.chmod(0o444)

    to("+0")
    tmp_path.chmod(0o755)
    other = replace(
        production,
        files=(*production.files, str(HARNESS / "clock" / "docker-compose.yml")),
        settings={**production.settings, "PORTAL_TEST_CLOCK": str(tmp_path)},
    )
    other.compose("up", "-d", "--wait", "--no-deps", *SERVICES, capture=True)
    yield to
    production.compose("up", "-d", "--wait", "--no-deps", *SERVICES, capture=True)


def test_a_clock_that_jumps_by_an_hour_stops_nothing_and_starts_what_is_asked_for(
    production: Stack, jump: Callable[[str], None]
) -> None:
    with somebody(production, "jane") as jane:
        made = jane.settled(jane.deploy("steady")["id"])
        for seconds in HOURS:
            before = jane.seen(made)
            jump(seconds)
            other = jane.settled(jane.deploy("meanwhile")["id"])
            assert other["state"] == "running", (seconds, other)
            jane.http.delete(f"/api/v1/deployments/{other['id']}").raise_for_status()
            wait_until(
                lambda: len(jane.http.get("/api/v1/deployments").json()) == 1, "it is removed"
            )
            after = jane.seen(made)
            assert (after["state"], after["started_at"]) == ("running", before["started_at"])
            assert jane.answers(made)
        vms = json.loads(production.admin("vm", "list"))
        assert [vm["reachable"] for vm in vms] == [True]
        assert checker.agreed(production, machine(production)) == []
