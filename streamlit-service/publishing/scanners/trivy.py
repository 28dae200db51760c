"""Trivy, where installed: vulnerabilities and secrets from its JSON (schema 2).

Its own TRIVY_… variables apply; in a closed network set TRIVY_SKIP_DB_UPDATE and
TRIVY_OFFLINE_SCAN.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any

from portal.core.errors import EngineError
from portal.images.report import Finding, Kind, Scanner, Severity

DEADLINE_S = 900
COMMAND = "trivy"
RATED = {severity.upper(): severity for severity in Severity}


def installed() -> bool:
    """Whether there is a trivy on the PATH."""
    return shutil.which(COMMAND) is not None


def scan(archive: Path) -> tuple[Scanner, list[Finding]]:
    """Raises EngineError when Trivy fails or has no data: that is never a pass."""
    report = _json(
        "image", "--input", str(archive), "--format", "json", "--scanners", "vuln,secret", "--quiet"
    )
    about = _json("version", "--format", "json")
    updated = (about.get("VulnerabilityDB") or {}).get("UpdatedAt")
    if report.get("SchemaVersion") != 2 or not updated:
        raise EngineError(
            "no_scan_data",
            "Trivy has no vulnerability database.",
            "Let it fetch one: trivy image --download-db-only",
        )
    findings = []
    if ((report.get("Metadata") or {}).get("OS") or {}).get("EOSL"):
        system = f"{report['Metadata']['OS'].get('Family')} {report['Metadata']['OS'].get('Name')}"
        findings.append(
            Finding(
                kind=Kind.END_OF_LIFE,
                id="end-of-life",
                subject=system,
                text=f"{system} gets no security updates any more",
            )
        )
    for result in report.get("Results") or []:
        findings += [
            _vulnerability(vulnerability) for vulnerability in result.get("Vulnerabilities") or []
        ]
        findings += [
            Finding(
                kind=Kind.SECRET,
                id=str(secret["RuleID"]),
                subject=str(result["Target"]),
                text=f"{result['Target']}: {secret.get('Title', secret['RuleID'])}",
            )
            for secret in result.get("Secrets") or []
        ]
    return (
        Scanner(
            name="Trivy",
            version=str(about.get("Version", "")),
            data_date=datetime.fromisoformat(str(updated)),
        ),
        findings,
    )


def _vulnerability(entry: dict[str, Any]) -> Finding:
    name, fixed = str(entry["PkgName"]), str(entry.get("FixedVersion", ""))
    return Finding(
        kind=Kind.VULNERABILITY,
        id=str(entry["VulnerabilityID"]),
        subject=name,
        severity=RATED.get(str(entry.get("Severity")), Severity.UNKNOWN),
        installed=str(entry.get("InstalledVersion", "")),
        fixed=fixed,
        text=(
            f"{entry['VulnerabilityID']} in {name} {entry.get('InstalledVersion', '')}"
            f"{f', fixed in {fixed}' if fixed else ', no fix yet'}"
        ),
    )


def _json(*arguments: str) -> dict[str, Any]:
    try:
        done = subprocess.run(
            [COMMAND, *arguments], capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )
        if done.returncode:
            raise ValueError(done.stderr[-300:])
        report: dict[str, Any] = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise EngineError(
            "no_scan_data", f"Trivy gives no result: {error}", "Run it by hand to see why."
        ) from error
    return report
