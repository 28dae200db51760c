"""Scan a built image with today's vulnerability data, and evaluate it by the policy."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from portal.images.report import (
    Finding,
    Kind,
    Report,
    Scanner,
    apply_policy,
    idle_waivers,
    load_waivers,
)

from publishing import contents, sbom
from publishing.contents import Contents
from publishing.sbom import Packages
from publishing.scanners import advisories, debian_archive, trivy
from publishing.workspace import Refused, Workspace

WAIVERS = "waivers.yaml"
LAYERS_READ_PER_S = 60e6
"""Bytes, on a slow machine; for the estimate that is shown."""
ONCE = {Kind.LABEL, Kind.SIZE}
"""What is asked when an image is published, and not again."""


def materials(workspace: Workspace) -> Packages:
    """Bill of materials and contents of the built image; an unchanged image is not read twice."""
    known = workspace.kept("packages", Packages)
    if known and workspace.kept("contents", Contents) and (workspace.work / "sbom.json").exists():
        workspace.say("unchanged: read before")
        return known
    seconds = max(1, round(int(workspace.built()["Size"]) / LAYERS_READ_PER_S))
    workspace.say(f"reading every layer (about {seconds} s)")
    archive = contents.save(workspace)
    try:
        workspace.keep("contents", contents.read(archive))
        workspace.say("listing packages (syft)")
        packages = sbom.make(workspace, archive)
    finally:
        archive.unlink(missing_ok=True)
    workspace.keep("packages", packages)
    workspace.say(f"{len(packages.python)} Python packages, {len(packages.system)} system packages")
    return packages


def scan(
    workspace: Workspace,
    packages: Packages | None = None,
    *,
    strict: bool = True,
    published: bool = False,
) -> Report:
    """Scan with today's data and evaluate. Raises Refused with every finding, when `strict`."""
    packages = packages or workspace.needed("packages", Packages, "sbom")
    inside = workspace.needed("contents", Contents, "sbom")
    now = datetime.now(UTC)
    scanners, findings = _scanners(workspace, packages, inside, now)
    built = workspace.built()
    about = contents.examine(workspace, built["Config"], int(built["Size"]))
    findings += inside.findings
    findings += [finding for finding in about if not (published and finding.kind in ONCE)]
    findings += _about_the_data(workspace, scanners, now)
    findings += _about_the_image(workspace, now)
    unjudged = Report(
        image=workspace.image.name,
        scanned_at=now,
        scanners=tuple(scanners),
        findings=tuple(findings),
    )
    report = apply_policy(
        unjudged,
        waivers := load_waivers(workspace.settings.images_dir / WAIVERS),
        allow_standins=workspace.settings.allow_standins,
    )
    workspace.keep("report", report)
    _tell(workspace, report)
    for line in idle_waivers(report, waivers):
        workspace.say(f"{WAIVERS}: {line}")
    if strict and not report.passed:
        raise refusal(report)
    return report


def _tell(workspace: Workspace, report: Report) -> None:
    for scanner in report.scanners:
        workspace.say(
            f"{scanner.name} {scanner.version}, data of {scanner.data_date:%Y-%m-%d %H:%M} UTC"
        )
    workspace.say(
        f"{len(report.findings)} findings, {len(report.accepted)} waived,"
        f" {len(report.refused)} refused"
    )


def lacks_updates_only(report: Report, packages: Packages) -> bool:
    """Whether all that is refused are updates of the distribution, as a build today would have."""
    return all(
        finding.kind is Kind.VULNERABILITY
        and finding.fixed
        and finding.subject in packages.system
        and finding.subject not in packages.python
        for finding in report.refused
    )


def refusal(report: Report) -> Refused:
    """What the policy refuses, in words, each with its kind."""
    lines = [f"  {finding.kind}: {finding.text}" for finding in report.refused]
    return Refused(
        f"refused_{report.refused[0].kind}",
        "The policy refuses the image:\n" + "\n".join(lines[:40]),
        "Fix it (a rebuild with --fresh brings security updates), or add a waiver with owner,"
        f" reason and expiry to images/{WAIVERS}.",
    )


def _scanners(
    workspace: Workspace, packages: Packages, inside: Contents, now: datetime
) -> tuple[list[Scanner], list[Finding]]:
    if trivy.installed():
        archive = contents.save(workspace)
        try:
            scanner, findings = trivy.scan(archive)
        finally:
            archive.unlink(missing_ok=True)
        return [scanner], findings
    python, findings = advisories.scan(packages.python, workspace.settings)
    ended = debian_archive.end_of_life(inside, now.date())
    if ended:  # its archive is closed, too; that it ended is refused by itself
        return [python], [*findings, *ended]
    system, updates = debian_archive.scan(inside, workspace.settings)
    return [system, python], [*findings, *updates]


def _about_the_data(
    workspace: Workspace, scanners: list[Scanner], now: datetime
) -> Iterator[Finding]:
    """Vulnerability data that is too old to decide by, or made up."""
    holds = timedelta(days=workspace.settings.scan_data_max_age_days)
    for scanner in scanners:
        if scanner.standin:
            yield Finding(
                kind=Kind.STANDIN_DATA,
                id="standin-data",
                subject=scanner.name,
                text=f"{scanner.name} is made up",
            )
        elif now - scanner.data_date > holds:
            yield Finding(
                kind=Kind.STALE_DATA,
                id="stale-data",
                subject=scanner.name,
                text=(
                    f"the data of {scanner.name} is from {scanner.data_date:%Y-%m-%d}, older than"
                    f" {workspace.settings.scan_data_max_age_days:g} days"
                ),
            )


def _about_the_image(workspace: Workspace, now: datetime) -> Iterator[Finding]:
    image = workspace.image
    if image.end_of_life < now.date():
        yield Finding(
            kind=Kind.END_OF_LIFE,
            id="image-end-of-life",
            subject=image.name,
            text=f"{image.name} reached end of life on {image.end_of_life}",
        )
