"""GPU-hours from leases: clipped, cut at midnight, exact."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from app_pages.parts import usage_chart
from hypothesis import given
from hypothesis import strategies as st
from portal import db, deployments
from portal.context import Portal
from portal.core.errors import Forbidden, Invalid
from portal.core.figures import Figures
from portal.core.models import Deployment, Order, State
from portal.core.people import Role, User
from portal.jobs.claim import Work
from portal.users import usage
from support.fakes import FakeClock, FakeEngine

WorkOff = Callable[..., Deployment]

T0 = datetime(2026, 3, 1, 22, 0, tzinfo=UTC)


def lease(
    kind: str = "gpu", start: datetime = T0, hours: float | None = 4, **more: Any
) -> dict[str, Any]:
    end = None if hours is None else start + timedelta(hours=hours)
    return {
        "kind": kind,
        "acquired_at": start,
        "released_at": end,
        "memory_gb": 8.0,
        "cpus": 2.0,
        "subject": "s",
        "display_name": "Jane",
        "group": "",
        "image": "ml",
        "vm": "vm-1",
        **more,
    }


def test_an_interval_is_cut_at_midnight() -> None:
    rows = usage.total([lease()], ["day"], T0 - timedelta(days=1), T0 + timedelta(days=2))
    assert [(row.key, row.gpu_hours) for row in rows] == [
        (("2026-03-01",), 2.0),
        (("2026-03-02",), 2.0),
    ]


def test_days_are_those_of_the_zone_and_may_have_23_hours() -> None:
    start = datetime(2026, 3, 28, 23, 0, tzinfo=UTC)  # midnight in Berlin; the clocks change then
    rows = usage.total(
        [lease(start=start, hours=47)],
        ["day"],
        start,
        start + timedelta(days=3),
        ZoneInfo("Europe/Berlin"),
    )
    assert [(row.key, row.gpu_hours) for row in rows] == [
        (("2026-03-29",), 23.0),
        (("2026-03-30",), 24.0),
    ]


def test_a_quota_far_above_what_is_used_does_not_press_the_bars_flat() -> None:
    rows = [{"Day": "1", "Hours": 6.0}, {"Day": "1", "Hours": 6.0}, {"Day": "2", "Hours": 3.0}]
    assert usage_chart.in_sight(48.0, rows) == 48.0
    assert usage_chart.in_sight(49.0, rows) is None
    assert usage_chart.in_sight(None, rows) is None


def test_a_lease_that_is_still_held_counts_until_the_end_of_the_period() -> None:
    [hours] = usage.total([lease(hours=None)], ["user"], T0, T0 + timedelta(hours=7))
    assert (hours.key, hours.gpu_hours) == (("Jane (s)",), 7.0)


def test_compute_counts_cpus_and_memory() -> None:
    [row] = usage.total([lease("compute")], ["image", "vm"], T0, T0 + timedelta(hours=1))
    assert (row.key, row.gpu_hours, row.cpu_hours, row.memory_gb_hours) == (("ml", "vm-1"), 0, 2, 8)


@given(st.lists(st.tuples(st.floats(0, 200), st.floats(0.01, 100)), max_size=20))
def test_days_add_up_to_the_whole(spans: list[tuple[float, float]]) -> None:
    leases = [lease(start=T0 + timedelta(hours=start), hours=hours) for start, hours in spans]
    since, until = T0, T0 + timedelta(hours=150)
    by_day = sum(row.gpu_hours for row in usage.total(leases, ["day"], since, until))
    whole = sum(row.gpu_hours for row in usage.total(leases, [], since, until))
    assert by_day == pytest.approx(whole)


def test_other_peoples_usage_is_for_administrators(portal: Portal, jane: User) -> None:
    with pytest.raises(Forbidden):
        usage.report(portal, jane, ["user"], T0, T0 + timedelta(days=1), everybody=True)
    with pytest.raises(Invalid):
        usage.report(portal, jane, ["day"], T0, T0)


def test_usage_is_exact_when_the_worker_dies_in_the_middle(
    portal: Portal, jane: User, clock: FakeClock, engine: FakeEngine, work_off: WorkOff
) -> None:
    """The lease begins with the place, not with the container, and goes on while nobody looks."""
    start = clock.at
    made = deployments.request(portal, jane, Order("ml-cpu", "mine", cpus=2))
    assert Work.claim(portal, made.id)  # and this worker is never heard of again
    clock.forward(3600)
    assert work_off(made.id).state is State.RUNNING
    clock.forward(3600)
    deployments.act(portal, jane, made.id, "stop")
    work_off(made.id)
    clock.forward(3600)
    [row] = usage.report(portal, jane, [], start, clock.at)
    assert row.cpu_hours == 4.0


def test_two_people_of_one_name_are_two(portal: Portal) -> None:
    both = [lease(subject="edipi:1"), lease(subject="edipi:2")]
    assert len(usage.total(both, ["user"], T0, T0 + timedelta(days=1))) == 2


@pytest.mark.parametrize("first", "=+-@|%\t\r\n")
def test_a_spreadsheet_runs_no_formula(first: str) -> None:
    rows = usage.total([lease(image=f"{first}cmd")], ["image"], T0, T0 + timedelta(days=1))
    [_, row] = csv.reader(io.StringIO(usage.as_csv(["image"], rows), newline=""))
    assert row[0] == f"'{first}cmd"


def test_what_was_used_of_what_was_asked_for_by_container_and_by_person(
    portal: Portal, jane: User, running: Deployment
) -> None:
    hour = portal.now().replace(minute=0, second=0, microsecond=0)
    with portal.database.transaction() as tx:
        for back, cpus, peak in ((1, 0.2, 1.0), (2, 0.4, 1.5)):
            at = hour - timedelta(hours=back)
            db.figures.put(tx, {running.id: Figures(at, cpus, 0.5, peak)})
        db.figures.roll_up(tx, hour)
    [mine] = usage.efficiency(portal, jane, hour - timedelta(days=7))
    assert (mine.who, mine.hours, mine.gpu_utilisation) == ("first", 2, None)
    assert mine.cpus == pytest.approx(0.3)
    assert mine.memory == pytest.approx(0.625)
    with pytest.raises(Forbidden):
        usage.efficiency(portal, jane, hour, everybody=True)
    boss = replace(jane, role=Role.ADMIN)
    [person] = usage.efficiency(portal, boss, hour - timedelta(days=7), everybody=True)
    assert (person.who, person.cpus) == (jane.display_name, mine.cpus)


def test_the_chart_has_as_many_colours_as_can_be_told_apart() -> None:
    rows = [
        {"Day": f"2026-01-0{day}T00:00:00", "User": f"user {n}", "Hours": float(n)}
        for day in (1, 2)
        for n in range(30)
    ]
    shown = usage_chart.largest(rows, "User")
    names = list(dict.fromkeys(row["User"] for row in shown))
    assert names == [*(f"user {n}" for n in range(29, 22, -1)), "23 others"]
    assert sum(row["Hours"] for row in shown) == 2 * sum(range(30))
    few = rows[1:4:2]
    assert {row["User"] for row in usage_chart.largest(few, "User")} == {"user 1", "user 3"}
    assert (
        usage_chart.spec("CPU-hours", "User", shown, None)["layer"][0]["encoding"]["color"]["sort"]
        == names
    )
