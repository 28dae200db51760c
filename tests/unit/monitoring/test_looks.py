"""What the worker's health checks found last, since when."""

from __future__ import annotations

from dataclasses import replace

import pytest
from portal.context import Portal
from portal.core.errors import Forbidden
from portal.core.health import Status
from portal.core.people import User
from portal.monitoring import looks
from support.fakes import FakeClock
from support.samples import TEST

DISK = Status(
    "warning", "disk", "this machine", "It is 86 % full.", "docker system df", "disk-full"
)
FINE = Status("ok", "database", "database", "The database answers.")


def test_since_when_it_has_been_so_survives_other_words(portal: Portal, clock: FakeClock) -> None:
    began = clock()
    looks.look(portal, lambda _: [FINE, DISK])
    clock.forward(60)
    looks.look(portal, lambda _: [FINE, replace(DISK, message="It is 87 % full.")])
    health = looks.last(portal, TEST)
    [finding] = health.wrong
    assert (finding.message, finding.since, health.at) == ("It is 87 % full.", began, clock())
    clock.forward(60)
    looks.look(portal, lambda _: [replace(DISK, state="critical")])
    [worse] = looks.last(portal, TEST).findings
    assert worse.since == clock()


def test_the_worst_comes_first(portal: Portal) -> None:
    gone = Status("critical", "vm", "vm-01", "It cannot be reached.")
    looks.look(portal, lambda _: [FINE, DISK, gone])
    assert [each.state for each in looks.last(portal, TEST).findings] == [
        "critical",
        "warning",
        "ok",
    ]


def test_that_nobody_looks_is_found_too(portal: Portal, clock: FakeClock) -> None:
    [never] = looks.last(portal, TEST).findings
    assert (never.state, never.section) == ("critical", "worker-silent")
    looks.look(portal, lambda _: [FINE])
    assert looks.last(portal, TEST).wrong == []
    clock.forward(looks.LATE.total_seconds())
    [silent] = looks.last(portal, TEST).wrong
    assert silent.section == "worker-silent"


def test_it_is_for_administrators_and_auditors(portal: Portal, jane: User) -> None:
    with pytest.raises(Forbidden):
        looks.last(portal, jane)
