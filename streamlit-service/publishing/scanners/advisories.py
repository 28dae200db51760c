"""Python packages against advisories in OSV's format (ossf.github.io/osv-schema).

For example PyPI's export of osv.dev. A file named STANDIN in it marks made-up data for
demonstrations.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cvss import CVSS3, CVSS4, CVSSError
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version
from portal.core.errors import EngineError
from portal.core.settings import Settings
from portal.images.report import Finding, Kind, Scanner, Severity

MARK = "STANDIN"
RATED = {
    "CRITICAL": Severity.CRITICAL,
    "HIGH": Severity.HIGH,
    "MODERATE": Severity.MEDIUM,
    "MEDIUM": Severity.MEDIUM,
    "LOW": Severity.LOW,
}


def scan(python: Mapping[str, Iterable[str]], settings: Settings) -> tuple[Scanner, list[Finding]]:
    """Raises EngineError when there are no advisories: that is never a pass."""
    path = settings.advisories
    if path is None or not path.exists():
        raise EngineError(
            "no_scan_data",
            "There are no advisories of Python packages to compare with.",
            "Set PORTAL_ADVISORIES to OSV's export, or install Trivy on the publisher.",
        )
    newest, count, findings = datetime.min.replace(tzinfo=UTC), 0, []
    try:
        for advisory in _read(path):
            count += 1
            newest = max(newest, datetime.fromisoformat(advisory["modified"]))
            if "withdrawn" not in advisory:
                findings += _matches(advisory, python)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise EngineError(
            "no_scan_data", f"The advisories in {path} cannot be read: {error}", "Fetch them again."
        ) from error
    if not count:
        raise EngineError("no_scan_data", f"There is no advisory in {path}.", "Fetch them again.")
    standin = MARK in _names(path)
    name = "Python advisories (OSV)" + (", made-up for a demo" if standin else "")
    return Scanner(
        name=name, version=f"{count} advisories", data_date=newest, standin=standin
    ), _merged(findings)


def _names(path: Path) -> set[str]:
    if path.is_dir():
        return {file.name for file in path.iterdir()}
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def _read(path: Path) -> Iterator[dict[str, Any]]:
    if path.is_dir():
        for file in sorted(path.glob("*.json")):
            yield json.loads(file.read_bytes())
        return
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(".json"):
                yield json.loads(archive.read(name))


def _matches(advisory: Mapping[str, Any], python: Mapping[str, Iterable[str]]) -> list[Finding]:
    findings = []
    for affected in advisory.get("affected", []):
        package = affected.get("package", {})
        name = canonicalize_name(str(package.get("name", "")))
        for installed in python.get(name, ()) if package.get("ecosystem") == "PyPI" else ():
            # An odd version in it: nobody can tell, and the others must not be lost for it.
            try:
                hit, fixed = _affects(affected, installed)
                fix = f", fixed in {fixed}" if fixed else ", no fix yet"
            except InvalidVersion:
                hit, fixed, fix = (
                    True,
                    "",
                    ", if it is affected at all: its versions cannot be compared",
                )
            if hit:
                findings.append(
                    Finding(
                        kind=Kind.VULNERABILITY,
                        id=_cve(advisory),
                        subject=name,
                        severity=_severity(advisory),
                        installed=installed,
                        fixed=fixed,
                        text=f"{_cve(advisory)} in {name} {installed}{fix}",
                    )
                )
    return findings


def _merged(findings: Iterable[Finding]) -> list[Finding]:
    """One finding per flaw: databases repeat each other under one CVE with different ratings."""
    best: dict[tuple[str, str, str], Finding] = {}
    for finding in findings:
        key = (finding.id, finding.subject, finding.installed)
        best_so_far = best.get(key)
        if best_so_far is None:
            best[key] = finding
            continue
        rated = best_so_far if best_so_far.severity is not Severity.UNKNOWN else finding
        fixed = best_so_far if best_so_far.fixed else finding
        best[key] = fixed.model_copy(update={"severity": rated.severity})
    return list(best.values())


def _affects(affected: Mapping[str, Any], installed: str) -> tuple[bool, str]:
    """Whether a version is affected, and the version that fixes it (OSV schema, "Evaluation").

    InvalidVersion.
    """
    try:
        version = Version(installed)
    except InvalidVersion:
        return installed in affected.get("versions", []), ""
    for span in affected.get("ranges", []):
        if span.get("type") != "ECOSYSTEM":
            continue
        hit = False
        for event in span.get("events", []):
            if "introduced" in event:
                hit = hit or version >= Version(
                    "0" if event["introduced"] == "0" else event["introduced"]
                )
            elif "fixed" in event and hit:
                if version < Version(event["fixed"]):
                    return True, str(event["fixed"])
                hit = False
            elif "last_affected" in event and hit:
                hit = version <= Version(event["last_affected"])
        if hit:
            return True, ""
    return installed in affected.get("versions", []), ""


def _cve(advisory: Mapping[str, Any]) -> str:
    return next(
        (alias for alias in advisory.get("aliases", []) if alias.startswith("CVE-")),
        str(advisory["id"]),
    )


def _severity(advisory: Mapping[str, Any]) -> Severity:
    stated = str(advisory.get("database_specific", {}).get("severity", "")).upper()
    if stated in RATED:
        return RATED[stated]
    for rating in advisory.get("severity", []):
        vector = str(rating.get("score", ""))
        try:
            scored = CVSS4(vector) if vector.startswith("CVSS:4") else CVSS3(vector)
        except CVSSError:
            continue
        return RATED.get(
            str(scored.severities()[0] if isinstance(scored, CVSS3) else scored.severity).upper(),
            Severity.LOW,
        )
    return Severity.UNKNOWN
