"""What the policy says of findings."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from portal.core.errors import Invalid
from portal.images.report import Finding, Kind, Report, Severity, Waiver, apply_policy, load_waivers
from support.samples import SEEN


def vulnerability(severity: Severity, fixed: str = "2.0") -> Finding:
    return Finding(
        kind=Kind.VULNERABILITY, id="CVE-2026-1", subject="openssl", severity=severity, fixed=fixed
    )


def judged(*findings: Finding, waivers: tuple[Waiver, ...] = (), standins: bool = False) -> Report:
    return apply_policy(
        Report(image="ml-cpu", scanned_at=SEEN, scanners=(), findings=findings),
        waivers,
        allow_standins=standins,
    )


@pytest.mark.parametrize(
    ("severity", "fixed", "passes"),
    [
        (Severity.CRITICAL, "2.0", False),
        (Severity.HIGH, "2.0", False),
        (Severity.UNKNOWN, "2.0", False),
        (Severity.MEDIUM, "2.0", True),
        (Severity.LOW, "2.0", True),
        (Severity.CRITICAL, "", True),
    ],
)
def test_what_is_bad_and_can_be_mended_is_refused(
    severity: Severity, fixed: str, passes: bool
) -> None:
    assert judged(vulnerability(severity, fixed)).passed is passes


@pytest.mark.parametrize("kind", [Kind.STANDIN_BASE, Kind.STANDIN_DATA])
def test_stand_ins_pass_where_they_are_allowed(kind: Kind) -> None:
    finding = Finding(kind=kind, id="standin")
    assert judged(finding, standins=True).passed
    assert not judged(finding, standins=False).passed


@pytest.mark.parametrize(
    "kind",
    [
        Kind.SECRET,
        Kind.SETUID,
        Kind.ROOT_USER,
        Kind.LABEL,
        Kind.SIZE,
        Kind.END_OF_LIFE,
        Kind.STALE_DATA,
    ],
)
def test_everything_else_is_refused_everywhere(kind: Kind) -> None:
    assert not judged(Finding(kind=kind, id="x"), standins=True).passed


@pytest.mark.parametrize(
    ("changes", "passes"),
    [
        ({}, True),
        ({"subject": "openssl"}, True),
        ({"subject": "curl"}, False),
        ({"image": "gpu-jupyter"}, False),
        ({"finding": "CVE-2026-2"}, False),
        ({"expires": date(2026, 1, 1)}, True),
        ({"expires": date(2025, 12, 31)}, False),
    ],
)
def test_a_waiver_is_for_one_finding_of_one_image_until_its_last_day(
    changes: dict[str, object], passes: bool
) -> None:
    values = {
        "image": "ml-cpu",
        "finding": "CVE-2026-1",
        "owner": "mei",
        "reason": "Not reachable here.",
        "expires": date(2026, 6, 1),
        **changes,
    }
    report = judged(vulnerability(Severity.HIGH), waivers=(Waiver.model_validate(values),))
    assert report.passed is passes
    assert len(report.accepted) == passes


def test_the_reviewed_file_is_read_or_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "waivers.yaml"
    assert load_waivers(path) == ()
    path.write_text("waivers: []\n")
    assert load_waivers(path) == ()
    path.write_text(
        "waivers: [{image: ml-cpu, finding: CVE-1, owner: mei, reason: short, expires: 2026-01-01}]"
    )
    with pytest.raises(Invalid, match="reason"):
        load_waivers(path)
