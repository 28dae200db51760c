"""Scanners: what they find, and that no data is never a pass."""

from __future__ import annotations

import json
import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from portal.core.errors import EngineError
from portal.core.settings import Settings
from portal.images.report import Kind, Severity
from publishing.contents import Contents
from publishing.scanners import advisories, debian_archive, trivy

TRIVY_REPORT = {
    "SchemaVersion": 2,
    "Metadata": {"OS": {"Family": "debian", "Name": "10", "EOSL": True}},
    "Results": [
        {
            "Target": "image (debian 10)",
            "Vulnerabilities": [
                {
                    "VulnerabilityID": "CVE-2026-1",
                    "PkgName": "openssl",
                    "InstalledVersion": "1.1",
                    "FixedVersion": "1.2",
                    "Severity": "CRITICAL",
                },
                {
                    "VulnerabilityID": "CVE-2026-2",
                    "PkgName": "zlib",
                    "InstalledVersion": "1",
                    "Severity": "LOW",
                },
            ],
        },
        {
            "Target": "/app/key.pem",
            "Secrets": [{"RuleID": "private-key", "Title": "Asymmetric Private Key"}],
        },
        {},
    ],
}


def advisory(**changes: Any) -> dict[str, Any]:
    events = [
        {"introduced": "1.0"},
        {"fixed": "1.5"},
        {"introduced": "2.0"},
        {"last_affected": "2.3"},
    ]
    return {
        "id": "PYSEC-1",
        "modified": "2026-01-01T00:00:00Z",
        "aliases": ["CVE-2026-1"],
        "affected": [
            {
                "package": {"ecosystem": "PyPI", "name": "Some_Package"},
                "ranges": [{"type": "ECOSYSTEM", "events": events}],
            }
        ],
        "database_specific": {"severity": "HIGH"},
        **changes,
    }


def scan(tmp_path: Path, version: str, *entries: dict[str, Any], settings: Settings) -> list[Any]:
    for number, entry in enumerate(entries):
        (tmp_path / f"{number}.json").write_text(json.dumps(entry))
    changed = settings.model_copy(update={"advisories": tmp_path})
    return advisories.scan({"some-package": [version]}, changed)[1]


@pytest.mark.parametrize(
    ("version", "fixed"),
    [
        ("0.9", None),
        ("1.0", "1.5"),
        ("1.4.9", "1.5"),
        ("1.5", None),
        ("1.5rc1", "1.5"),
        ("2.0", ""),
        ("2.3", ""),
        ("2.4", None),
    ],
)
def test_ranges_are_evaluated_as_osv_says(
    tmp_path: Path, settings: Settings, version: str, fixed: str | None
) -> None:
    findings = scan(tmp_path, version, advisory(), settings=settings)
    assert [finding.fixed for finding in findings] == ([] if fixed is None else [fixed])


def test_a_withdrawn_advisory_does_not_count(tmp_path: Path, settings: Settings) -> None:
    assert (
        scan(tmp_path, "1.1", advisory(withdrawn="2026-01-02T00:00:00Z"), settings=settings) == []
    )


@pytest.mark.parametrize(
    ("changes", "severity"),
    [
        ({}, Severity.HIGH),
        ({"database_specific": {"severity": "MODERATE"}}, Severity.MEDIUM),
        (
            {
                "database_specific": {},
                "severity": [
                    {"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}
                ],
            },
            Severity.CRITICAL,
        ),
        (
            {
                "database_specific": {},
                "severity": [
                    {
                        "type": "CVSS_V4",
                        "score": "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:L/VI:N/VA:N/SC:N/SI:N/SA:N",
                    }
                ],
            },
            Severity.MEDIUM,
        ),
        ({"database_specific": {}}, Severity.UNKNOWN),
        (
            {"database_specific": {}, "severity": [{"type": "CVSS_V3", "score": "nonsense"}]},
            Severity.UNKNOWN,
        ),
    ],
)
def test_severity_is_the_databases_or_the_vectors(
    tmp_path: Path, settings: Settings, changes: dict[str, Any], severity: Severity
) -> None:
    assert [
        finding.severity
        for finding in scan(tmp_path, "1.1", advisory(**changes), settings=settings)
    ] == [severity]


def test_every_copy_of_a_package_is_scanned(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "0.json").write_text(json.dumps(advisory()))
    changed = settings.model_copy(update={"advisories": tmp_path})
    findings = advisories.scan({"some-package": ["1.1", "1.6"]}, changed)[1]
    assert [finding.installed for finding in findings] == ["1.1"]


def test_databases_that_repeat_each_other_give_one_finding(
    tmp_path: Path, settings: Settings
) -> None:
    twin = advisory(id="GHSA-1", database_specific={})
    low = advisory(database_specific={"severity": "LOW"})
    [finding] = scan(tmp_path, "1.1", twin, low, settings=settings)
    assert (finding.id, finding.severity, finding.fixed) == ("CVE-2026-1", Severity.LOW, "1.5")


def test_an_odd_version_in_one_advisory_does_not_lose_the_others(
    tmp_path: Path, settings: Settings
) -> None:
    odd = advisory(aliases=["CVE-2026-9"])
    odd["affected"] = [
        {
            "package": {"ecosystem": "PyPI", "name": "some-package"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "2004d"}]}],
        }
    ]
    findings = scan(tmp_path, "1.1", odd, advisory(), settings=settings)
    assert [(finding.id, finding.fixed) for finding in findings] == [
        ("CVE-2026-9", ""),
        ("CVE-2026-1", "1.5"),
    ]


def test_a_zip_is_read_as_a_folder_is(tmp_path: Path, settings: Settings) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("PYSEC-1.json", json.dumps(advisory()))
    changed = settings.model_copy(update={"advisories": tmp_path / "all.zip"})
    scanner, findings = advisories.scan({"some-package": ["1.1"]}, changed)
    assert (len(findings), scanner.standin, scanner.data_date.year) == (1, False, 2026)


@pytest.mark.parametrize("content", [None, "", "{}", "[1]", "not json"])
def test_advisories_that_cannot_be_read_are_no_pass(
    tmp_path: Path, settings: Settings, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "x.json").write_text(content)
    with pytest.raises(EngineError) as refused:
        scan(tmp_path, "1.1", settings=settings)
    assert refused.value.code == "no_scan_data"


def _trivy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, report: Any, about: Any, code: int = 0
) -> None:
    """STAND-IN for trivy: says what a real one of schema 2 says."""
    (tmp_path / "report").write_text(json.dumps(report))
    (tmp_path / "about").write_text(json.dumps(about))
    script = tmp_path / "trivy"
    script.write_text(
        f'#!/bin/sh\n[ "$1" = version ] && cat {tmp_path}/about || cat {tmp_path}/report\nexit'
        f" {code}\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")


ABOUT = {"Version": "0.70.0", "VulnerabilityDB": {"UpdatedAt": "2026-01-02T03:04:05.123456789Z"}}


def test_trivys_report_becomes_findings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _trivy(tmp_path, monkeypatch, TRIVY_REPORT, ABOUT)
    assert trivy.installed()
    scanner, findings = trivy.scan(tmp_path / "image.tar")
    assert (scanner.name, scanner.version, scanner.data_date.day) == ("Trivy", "0.70.0", 2)
    assert [
        (finding.kind, finding.id, finding.severity, finding.fixed) for finding in findings
    ] == [
        (Kind.END_OF_LIFE, "end-of-life", Severity.UNKNOWN, ""),
        (Kind.VULNERABILITY, "CVE-2026-1", Severity.CRITICAL, "1.2"),
        (Kind.VULNERABILITY, "CVE-2026-2", Severity.LOW, ""),
        (Kind.SECRET, "private-key", Severity.UNKNOWN, ""),
    ]


@pytest.mark.parametrize(
    ("report", "about", "code"),
    [({}, ABOUT, 0), (TRIVY_REPORT, {"Version": "0.70.0"}, 0), (TRIVY_REPORT, ABOUT, 1)],
    ids=["no report", "no database", "fails"],
)
def test_trivy_without_data_is_no_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, report: Any, about: Any, code: int
) -> None:
    _trivy(tmp_path, monkeypatch, report, about, code)
    with pytest.raises(EngineError) as refused:
        trivy.scan(tmp_path / "image.tar")
    assert refused.value.code == "no_scan_data"


def inside(**changes: str) -> Contents:
    values = {
        "os_id": "debian",
        "os_codename": "bookworm",
        "os_version": "12",
        "dpkg_status": "Package: x\n",
    }
    return Contents(findings=(), **{**values, **changes})


@pytest.mark.parametrize("changes", [{"os_id": "alpine"}, {"dpkg_status": ""}])
def test_a_system_without_a_known_archive_is_no_pass(
    settings: Settings, changes: dict[str, str]
) -> None:
    with pytest.raises(EngineError, match="No security archive is known"):
        debian_archive.scan(inside(**changes), settings)


def test_the_end_of_a_distribution_is_known_from_its_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "debian.csv").write_text(
        "version,codename,series,created,release,eol,eol-lts\n"
        "12,Bookworm,bookworm,2021-08-14,2023-06-10,2026-06-10,2028-06-30\n"
    )
    monkeypatch.setattr(debian_archive, "DISTRIBUTIONS", tmp_path)
    assert debian_archive.end_of_life(inside(), date(2028, 6, 30)) == []
    assert [finding.kind for finding in debian_archive.end_of_life(inside(), date(2028, 7, 1))] == [
        Kind.END_OF_LIFE
    ]
    with pytest.raises(EngineError, match="not a known release"):
        debian_archive.end_of_life(inside(os_codename="unheard"), date(2026, 1, 1))
    with pytest.raises(EngineError, match="Nothing is known"):
        debian_archive.end_of_life(inside(os_id="plan9"), date(2026, 1, 1))


def test_what_apt_lists_is_read_line_by_line() -> None:
    listed = (
        "Listing...\n"
        "libpam0g/stable-security 1.5.2-6+deb12u3 amd64 [upgradable from: 1.5.2-6+deb12u2]\n"
        "zlib1g/stable-security,now 2 amd64 [upgradable from: 1]\n"
        "held/now 1 amd64 [installed,local]\n"
    )
    assert [found.groups() for found in debian_archive.UPGRADABLE.finditer(listed)] == [
        ("libpam0g", "1.5.2-6+deb12u3", "1.5.2-6+deb12u2"),
        ("zlib1g", "2", "1"),
    ]
