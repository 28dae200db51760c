"""`admin.py image publish`: from a folder to a candidate release, in named steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import docker
from portal import images
from portal.context import Portal
from portal.core.errors import Conflict, EngineError, PortalError
from portal.core.models import Actor, Release
from portal.images import Candidate
from portal.images.report import Finding, Kind, Report, Scanner, judge, load_waivers
from registry import cosign
from registry.client import Registry

from publishing import build as building
from publishing import container_tests, contents, sbom
from publishing.container_tests import Tests
from publishing.contents import Contents
from publishing.sbom import Packages
from publishing.scanners import advisories, debian_archive, trivy
from publishing.workspace import Bench, Refused

REPORT_TYPE = "https://container-portal.org/attestation/report/v1"
WAIVERS = "waivers.yaml"
ONCE = {Kind.LABEL, Kind.SIZE}
"""What is asked when an image is published, and not again."""
REPORT_HOLDS = timedelta(days=1)
STEPS = 8


def bench_for(
    portal: Portal,
    name: str,
    variant: str,
    version: str,
    say: Callable[[str], None],
    *,
    fresh: bool = False,
) -> Bench:
    """The workbench of an image. Raises PortalError when it is not in the catalogue."""
    image = portal.catalog.get(name)
    if image is None:
        known = ", ".join(portal.catalog)
        raise Conflict(
            "unknown_image", f"{name} is not in the catalogue.", f"Known images: {known}."
        )
    build = image.build(variant)
    wanted = version or "-".join(part for part in (image.version, variant) if part)
    return Bench(portal.settings, image, build, wanted, say, fresh)


def publish(portal: Portal, actor: Actor, bench: Bench) -> Release:
    """Every step; stops at the first that refuses, and then nothing was pushed or recorded."""
    bench.tidy()
    step = _Counter(bench)
    step("lint")
    building.lint(bench)
    step("build")
    bench = build(portal, bench)
    step = _Counter(bench, step.done)
    step("tests in the container")
    test(bench)
    step("bill of materials")
    packages = materials(bench)
    step("scan and policy")
    report = scan(bench, packages)
    step("push")
    reference = push(bench)
    step("sign")
    sign(bench, reference)
    step("record")
    return record(portal, actor, bench, reference, packages, report)


class _Counter:
    def __init__(self, bench: Bench, done: int = 0) -> None:
        self._bench = bench
        self.done = done

    def __call__(self, title: str) -> None:
        self.done += 1
        self._bench.say(
            f"[{self.done}/{STEPS}] {self._bench.image.name} {self._bench.version}: {title}"
        )


def build(portal: Portal, bench: Bench) -> Bench:
    """Build on the pinned base.

    In a demo a version that is taken gets the content's hash appended.
    """
    building.build(bench, building.ensure_base(bench))
    if not _taken(portal, bench):
        return bench
    if not bench.settings.allow_standins:
        raise images.taken(bench.image.name, bench.version)
    other = replace(bench, version=f"{bench.version}-{bench.content[:8]}")
    bench.say(
        f"{bench.version} was published with other content; in a demo this becomes {other.version}"
    )
    building.build(other, building.ensure_base(other))
    if _taken(portal, other):  # the same files on another base, or other security updates
        other = replace(bench, version=f"{bench.version}-{bench.id.removeprefix('sha256:')[:8]}")
        building.build(other, building.ensure_base(other))
    return other


def _taken(portal: Portal, bench: Bench) -> bool:
    """Whether this version was published as another digest than what was built."""
    try:
        known = images.find(portal, bench.image.name, bench.version)
    except PortalError:
        return False
    return not _is(bench, known.digest)


def _is(bench: Bench, digest: str) -> bool:
    """Whether a digest in the registry is the image that was built, by the engine or by id."""
    built = bench.built()
    if digest in {name.partition("@")[2] for name in built.get("RepoDigests") or []}:
        return True
    reference = f"{bench.settings.repository(bench.image.name)}@{digest}"
    return Registry(bench.settings).config_of(reference) == str(built["Id"])


def test(bench: Bench) -> Tests:
    """The tests in the container; an unchanged image is not tested twice."""
    known = bench.kept("tests", Tests)
    if known and known.content == bench.content:
        bench.say("unchanged: tested before")
        return known
    made = container_tests.run(bench)
    bench.keep("tests", made)
    return made


def materials(bench: Bench) -> Packages:
    """Bill of materials and contents of the built image; an unchanged image is not read twice."""
    known = bench.kept("packages", Packages)
    if known and bench.kept("contents", Contents) and (bench.work / "sbom.json").exists():
        bench.say("unchanged: read before")
        return known
    bench.say("reading every layer")
    archive = contents.save(bench)
    try:
        bench.keep("contents", contents.read(archive))
        bench.say("listing packages (syft)")
        packages = sbom.make(bench, archive)
    finally:
        archive.unlink(missing_ok=True)
    bench.keep("packages", packages)
    bench.say(f"{len(packages.python)} Python packages, {len(packages.system)} of the system")
    return packages


def scan(
    bench: Bench, packages: Packages | None = None, *, strict: bool = True, published: bool = False
) -> Report:
    """Scan with today's data and judge. Raises Refused with every finding, when `strict`."""
    packages = packages or bench.needed("packages", Packages, "sbom")
    inside = bench.needed("contents", Contents, "sbom")
    now = datetime.now(UTC)
    scanners, findings = _scanners(bench, packages, inside, now)
    built = bench.built()
    about = contents.examine(bench, built["Config"], int(built["Size"]))
    findings += [*inside.findings, *(one for one in about if not (published and one.kind in ONCE))]
    findings += [
        _stale(bench, one)
        for one in scanners
        if not one.standin and _age_days(one, now) > bench.settings.scan_data_max_age_days
    ]
    findings += [
        Finding(
            kind=Kind.STANDIN_DATA,
            id="standin-data",
            subject=one.name,
            text=f"{one.name} is made up",
        )
        for one in scanners
        if one.standin
    ]
    if bench.image.end_of_life < now.date():
        findings.append(
            Finding(
                kind=Kind.END_OF_LIFE,
                id="image-end-of-life",
                subject=bench.image.name,
                text=f"{bench.image.name} reached its end on {bench.image.end_of_life}",
            )
        )
    found = Report(
        image=bench.image.name, scanned_at=now, scanners=tuple(scanners), findings=tuple(findings)
    )
    report = judge(
        found,
        load_waivers(bench.settings.images_dir / WAIVERS),
        allow_standins=bench.settings.allow_standins,
    )
    bench.keep("report", report)
    for one in scanners:
        bench.say(f"{one.name} {one.version}, data of {one.data_date:%Y-%m-%d %H:%M} UTC")
    bench.say(
        f"{len(report.findings)} findings, {len(report.accepted)} "
        f"waived, {len(report.refused)} refused"
    )
    if strict and not report.passed:
        raise refusal(report)
    return report


def refusal(report: Report) -> Refused:
    """What the policy refuses, in words, each with its kind."""
    lines = [f"  {one.kind}: {one.text}" for one in report.refused]
    return Refused(
        f"refused_{report.refused[0].kind}",
        "The policy refuses the image:\n" + "\n".join(lines[:40]),
        "Mend it (a rebuild with --fresh brings security updates), or add a waiver with owner,"
        f" reason and expiry to images/{WAIVERS}.",
    )


def _scanners(
    bench: Bench, packages: Packages, inside: Contents, now: datetime
) -> tuple[list[Scanner], list[Finding]]:
    if trivy.installed():
        archive = contents.save(bench)
        try:
            one, findings = trivy.scan(archive)
        finally:
            archive.unlink(missing_ok=True)
        return [one], findings
    python, found = advisories.scan(packages.python, bench.settings)
    ended = debian_archive.end_of_life(inside, now.date())
    if ended:  # its archive is closed, too; that it ended is refused by itself
        return [python], [*found, *ended]
    system, more = debian_archive.scan(inside, bench.settings)
    return [system, python], [*found, *more]


def _age_days(scanner: Scanner, now: datetime) -> float:
    return (now - scanner.data_date) / timedelta(days=1)


def _stale(bench: Bench, scanner: Scanner) -> Finding:
    return Finding(
        kind=Kind.STALE_DATA,
        id="stale-data",
        subject=scanner.name,
        text=(
            f"the data of {scanner.name} is of {scanner.data_date:%Y-%m-%d}, older than "
            f"{bench.settings.scan_data_max_age_days:g} days"
        ),
    )


def push(bench: Bench) -> str:
    """Push, and give back name@digest as engines pull it.

    Raises Conflict when the tag names something else.
    """
    repository = bench.settings.repository(bench.image.name)
    there = Registry(bench.settings).digest_of(f"{repository}@", bench.version)
    if there is not None and not _is(bench, there):
        raise Conflict(
            "tag_taken",
            f"{repository}:{bench.version} is in the registry, with other content.",
            f"Raise version in images/{bench.image.name}/image.yaml.",
        )
    if there is not None:
        bench.say("unchanged: in the registry")
        return f"{repository}@{there}"
    digest = ""
    settings = bench.settings
    auth = {"username": settings.registry_username, "password": settings.registry_password}
    try:
        for line in bench.engine.api.push(
            bench.local.rpartition(":")[0],
            bench.version,
            stream=True,
            decode=True,
            auth_config=auth if settings.registry_username else None,
        ):
            if "error" in line:
                raise EngineError(
                    "push_failed",
                    f"The registry refuses the push: {line['error']}",
                    "Check the registry's address, authority and credentials.",
                )
            digest = (line.get("aux") or {}).get("Digest", digest)
    except docker.errors.APIError as error:
        raise EngineError(
            "push_failed", f"The push failed: {error.explanation}", "Check the registry."
        ) from error
    bench.say(f"pushed {repository}@{digest}")
    return f"{repository}@{digest}"


def sign(bench: Bench, reference: str) -> None:
    """Sign, and attach bill of materials and report. What is signed already is not signed again."""
    try:
        cosign.verify(bench.settings, reference, bench.image.name, bench.version)
        bench.say("unchanged: signed")
    except Conflict:
        cosign.sign(bench.settings, reference, bench.image.name, bench.version)
        cosign.verify(bench.settings, reference, bench.image.name, bench.version)
        bench.say("signed")
    # Always: a crash in between must not leave a signature without them.
    cosign.attest(bench.settings, reference, "cyclonedx", bench.work / "sbom.json")
    cosign.attest(bench.settings, reference, REPORT_TYPE, bench.work / "report.json")


def record(
    portal: Portal, actor: Actor, bench: Bench, reference: str, packages: Packages, report: Report
) -> Release:
    """Register the candidate."""
    tested = (bench.work / "tests.json").exists()  # not what was adopted
    shown = bench.needed("tests", Tests, "test").seen if tested else {}
    built = bench.built()
    labels = built["Config"].get("Labels") or {}
    return images.register(
        portal,
        actor,
        Candidate(
            image=bench.image.name,
            version=bench.version,
            reference=reference,
            size_bytes=int(built["Size"]),
            download_bytes=Registry(bench.settings).download_bytes(reference),
            standin=labels.get(building.LABEL_STANDIN) == "true",
            created_at=bench.created_at,
            packages=packages.all(),
            shown=shown,
            report=report,
        ),
    )


def require_passed(bench: Bench) -> Report:
    """The report about exactly this built image, not older than a day, its tests passed.

    Raises Conflict.
    """
    bench.needed("tests", Tests, "test")
    report = bench.needed("report", Report, "check")
    if datetime.now(UTC) - report.scanned_at > REPORT_HOLDS:
        raise Conflict(
            "report_old", "The last check is older than a day.", "Run admin.py image check again."
        )
    if not report.passed:
        raise refusal(report)
    return report


def pushed(bench: Bench) -> str:
    """name@digest of exactly this built image in the registry.

    Raises Conflict when it is not there.
    """
    repository = bench.settings.repository(bench.image.name)
    there = Registry(bench.settings).digest_of(f"{repository}@", bench.version)
    if there is None or not _is(bench, there):
        raise Conflict(
            "not_pushed",
            f"{repository}:{bench.version} is not in the registry as it was built here.",
            f"Run admin.py image push {bench.image.name} first.",
        )
    return f"{repository}@{there}"


def adopt(portal: Portal, actor: Actor, bench: Bench) -> Release:
    """Adopt what another portal published and `image mirror` brought: verify, scan, register."""
    repository = bench.settings.repository(bench.image.name)
    digest = Registry(bench.settings).digest_of(f"{repository}@", bench.version)
    if digest is None:
        raise Conflict(
            "not_there",
            f"{repository}:{bench.version} is not in the registry.",
            "Mirror it there first.",
        )
    reference = f"{repository}@{digest}"
    cosign.verify(bench.settings, reference, bench.image.name, bench.version)
    _ensure_local(bench, digest)
    packages = materials(bench)
    return record(portal, actor, bench, reference, packages, scan(bench, packages))


def rescan(portal: Portal, actor: Actor, release: Release, say: Callable[[str], None]) -> Release:
    """Scan a published release again with today's data; what it finds counts at the next launch.

    What was right when it was published (labels, size) is not asked again: image.yaml may be about
    a newer one by now.
    """
    image = portal.catalog.get(release.image)
    if image is None:
        raise Conflict(
            "unknown_image",
            f"{release.image} is not in the catalogue any more.",
            "Withdraw its releases, or put its folder back.",
        )
    bench = Bench(portal.settings, image, image.builds[0], release.version, say)
    _ensure_local(bench, release.digest)
    packages = materials(bench)
    report = scan(bench, packages, strict=False, published=True)
    cosign.attest(portal.settings, release.reference, REPORT_TYPE, bench.work / "report.json")
    return images.scanned(portal, actor, release.id, packages.all(), report)


def _ensure_local(bench: Bench, digest: str) -> None:
    name = bench.local.rpartition(":")[0]
    reference = f"{name}@{digest}"
    settings = bench.settings
    auth = {"username": settings.registry_username, "password": settings.registry_password}
    try:
        bench.engine.images.get(reference)
    except docker.errors.ImageNotFound:
        bench.say(f"pulling {reference}")
        try:
            bench.engine.api.pull(
                reference, auth_config=auth if settings.registry_username else None
            )
            bench.engine.images.get(reference)
        except docker.errors.APIError as error:
            raise EngineError(
                "not_pulled",
                f"{reference} cannot be pulled: {error.explanation}",
                "Check the registry.",
            ) from error
    bench.engine.images.get(reference).tag(name, bench.version)
