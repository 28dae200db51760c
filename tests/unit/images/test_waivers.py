"""Waivers that end, end too late, or name nothing."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
import wording
from portal import images
from portal.context import Portal
from portal.core.people import User
from portal.images.attention import Cause
from portal.images.report import (
    Finding,
    Kind,
    Report,
    Severity,
    Waiver,
    apply_policy,
    idle_waivers,
)
from support.samples import TEST, report

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FLAW = Finding(kind=Kind.VULNERABILITY, id="CVE-1", severity=Severity.HIGH, fixed="2")


def _waiver(expires: date, finding: str = "CVE-1") -> Waiver:
    return Waiver(
        image="ml-cpu", finding=finding, owner="mei", reason="Not reachable.", expires=expires
    )


@pytest.mark.parametrize(
    ("waiver", "why"),
    [
        (_waiver(date(2025, 12, 31)), "it ended on 2025-12-31"),
        (_waiver(date(2046, 12, 31)), "it ends on 2046-12-31, more than 366 days ahead"),
        (_waiver(date(2026, 6, 1), "CVE-2"), "no refused finding has this id"),
    ],
)
def test_a_waiver_that_counts_for_nothing_says_why(waiver: Waiver, why: str) -> None:
    found = Report(image="ml-cpu", scanned_at=NOW, scanners=(), findings=(FLAW,))
    judged = apply_policy(found, [waiver], allow_standins=False)
    assert not judged.passed
    [line] = idle_waivers(judged, [waiver])
    assert line == f"the waiver of mei for {waiver.finding} does not count: {why}"


def test_one_that_counts_is_not_idle_nor_is_another_images() -> None:
    found = Report(image="ml-cpu", scanned_at=NOW, scanners=(), findings=(FLAW,))
    good = _waiver(date(2026, 6, 1))
    others = good.model_copy(update={"image": "gpu-jupyter"})
    assert idle_waivers(apply_policy(found, [good], allow_standins=False), [good, others]) == []


def test_a_curator_is_told_before_a_waiver_ends(portal: Portal, mei: User) -> None:
    today = portal.now().date()
    for days, causes in ((14, []), (13, [Cause.WAIVER_ENDS])):
        waiver = _waiver(date.fromordinal(today.toordinal() + days))
        judged = apply_policy(report(portal.now(), FLAW), [waiver], allow_standins=False)
        images.scanned(portal, TEST, 1, {}, judged)
        found = images.attention(portal, mei)
        assert [each.cause for each in found] == causes
    assert wording.attention(found[0], portal.now())[0] == (
        "Starts will be refused in 14 days: a waiver will expire"
    )
