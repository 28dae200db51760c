"""`admin.py image publish`: from a folder to a candidate release, in named steps."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import docker
from portal import images
from portal.context import Portal
from portal.core.errors import Conflict, EngineError, NotFound
from portal.core.models import Release
from portal.core.people import Actor
from portal.images import Candidate
from portal.images.report import Report
from registry import cosign
from registry.client import Registry

from publishing import build as building
from publishing import container_tests
from publishing.container_tests import Tests
from publishing.sbom import Packages
from publishing.scan import lacks_updates_only, materials, refusal, scan
from publishing.workspace import Workspace

REPORT_TYPE = "https://container-portal.org/attestation/report/v1"
REPORT_HOLDS = timedelta(days=1)
STEPS = 8
TELL_EVERY_S = 5


def workspace_for(
    portal: Portal,
    name: str,
    variant: str,
    version: str,
    say: Callable[[str], None],
    *,
    fresh: bool = False,
) -> Workspace:
    """The workspace of an image. Raises PortalError when it is not in the catalogue."""
    image = portal.catalog.get(name)
    if image is None:
        known = ", ".join(portal.catalog)
        raise Conflict(
            "unknown_image", f"{name} is not in the catalogue.", f"Known images: {known}."
        )
    build = image.build(variant)
    wanted = version or "-".join(part for part in (image.version, variant) if part)
    return Workspace(portal.settings, image, build, wanted, say, fresh)


def publish(portal: Portal, actor: Actor, workspace: Workspace) -> Release:
    """Every step; stops at the first that refuses, and then nothing was pushed or recorded."""
    workspace.tidy()
    step = _Counter(workspace)
    step("lint")
    building.lint(workspace)
    workspace, packages, report = _checked(portal, workspace, step.done)
    step = _Counter(workspace, STEPS - 3)
    step("push")
    reference = push(workspace)
    step("sign")
    sign(workspace, reference)
    step("record")
    return record(portal, actor, workspace, reference, packages, report)


def _checked(portal: Portal, workspace: Workspace, done: int) -> tuple[Workspace, Packages, Report]:
    """What was built, and passed. Once more without cached layers where only they are to blame."""
    _Counter(workspace, done)("build")
    built = build(portal, workspace)
    step = _Counter(built, done + 1)
    step("tests in the container")
    test(built)
    step("bill of materials")
    packages = materials(built)
    step("scan and policy")
    report = scan(built, packages, strict=False)
    if report.passed:
        return built, packages, report
    if workspace.fresh or not lacks_updates_only(report, packages):
        raise refusal(report)
    workspace.say("cached layers lack security updates: building again without the cache")
    return _checked(portal, replace(workspace, fresh=True), done)


class _Counter:
    def __init__(self, workspace: Workspace, done: int = 0) -> None:
        self._workspace = workspace
        self.done = done

    def __call__(self, title: str) -> None:
        self.done += 1
        self._workspace.say(
            f"[{self.done}/{STEPS}] {self._workspace.image.name} {self._workspace.version}: {title}"
        )


def build(portal: Portal, workspace: Workspace) -> Workspace:
    """Build on the pinned base.

    In a demo a version that is taken gets the content's hash appended.
    """
    building.build(workspace, building.ensure_base(workspace))
    if not _taken(portal, workspace):
        return workspace
    if not workspace.settings.allow_standins:
        raise images.taken(workspace.image.name, workspace.version)
    other = replace(workspace, version=f"{workspace.version}-{workspace.content[:8]}")
    workspace.say(
        f"{workspace.version} was published with different content; in a demo this becomes"
        f" {other.version}"
    )
    building.build(other, building.ensure_base(other))
    if _taken(portal, other):  # the same files on another base, or other security updates
        other = replace(
            workspace, version=f"{workspace.version}-{workspace.id.removeprefix('sha256:')[:8]}"
        )
        building.build(other, building.ensure_base(other))
    return other


def _taken(portal: Portal, workspace: Workspace) -> bool:
    """Whether this version was published as another digest than what was built."""
    try:
        published = images.find(portal, workspace.image.name, workspace.version)
    except NotFound:
        return False
    return not _is(workspace, published.digest)


def _is(workspace: Workspace, digest: str) -> bool:
    """Whether a digest in the registry is the image that was built, by the engine or by id."""
    built = workspace.built()
    if digest in {name.partition("@")[2] for name in built.get("RepoDigests") or []}:
        return True
    reference = f"{workspace.settings.registry.repository(workspace.image.name)}@{digest}"
    return Registry(workspace.settings).config_of(reference) == str(built["Id"])


def test(workspace: Workspace) -> Tests:
    """The tests in the container; an unchanged image is not tested twice."""
    earlier = workspace.kept("tests", Tests)
    if earlier and earlier.content == workspace.content:
        workspace.say("unchanged: tested before")
        return earlier
    tests = container_tests.run(workspace)
    workspace.keep("tests", tests)
    return tests


def push(workspace: Workspace) -> str:
    """Push, and give back name@digest as engines pull it.

    Raises Conflict when the tag names something else.
    """
    repository = workspace.settings.registry.repository(workspace.image.name)
    digest_there = Registry(workspace.settings).digest_of(f"{repository}@", workspace.version)
    if digest_there is not None and not _is(workspace, digest_there):
        raise Conflict(
            "tag_taken",
            f"{repository}:{workspace.version} is already in the registry with different content.",
            f"Raise the version in images/{workspace.image.name}/image.yaml.",
        )
    if digest_there is not None:
        workspace.say("unchanged: in the registry")
        return f"{repository}@{digest_there}"
    digest = ""
    sent = _Sent(workspace.say)
    try:
        for line in workspace.engine.api.push(
            workspace.local.rpartition(":")[0],
            workspace.version,
            stream=True,
            decode=True,
            auth_config=workspace.settings.registry.docker_login(workspace.local),
        ):
            if "error" in line:
                raise EngineError(
                    "push_failed",
                    f"The registry refuses the push: {line['error']}",
                    _way_on(str(line["error"])),
                )
            sent.note(line)
            digest = (line.get("aux") or {}).get("Digest", digest)
    except docker.errors.APIError as error:
        raise EngineError(
            "push_failed", f"The push failed: {error.explanation}", "Check the registry."
        ) from error
    workspace.say(f"pushed {repository}@{digest}")
    return f"{repository}@{digest}"


def _way_on(refusal: str) -> str:
    """What to do about a push that a registry refused, in Docker's words."""
    if re.search(r"\b5\d\d\b|no space left", refusal):
        return (
            "The registry itself failed: its log says why. Most often its disk is full."
            " Nothing was recorded; publish again once it works."
        )
    return "Check the registry's address, authority and credentials."


class _Sent:
    """Says every TELL_EVERY_S how much of a push is done (Docker API, POST /images/*/push)."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._told = say, time.monotonic()
        self._layers: dict[str, tuple[int, int]] = {}

    def note(self, line: dict[str, Any]) -> None:
        detail = line.get("progressDetail") or {}
        if "current" in detail and line.get("id"):
            current = int(detail["current"])
            self._layers[line["id"]] = current, int(detail.get("total", current))
        if self._layers and time.monotonic() - self._told >= TELL_EVERY_S:
            self._told = time.monotonic()
            sizes = self._layers.values()
            done = sum(min(current, total) for current, total in sizes)
            whole = sum(total for _, total in sizes)
            self._say(f"{done / 1e6:.0f} of {whole / 1e6:.0f} MB of layers")


def sign(workspace: Workspace, reference: str) -> None:
    """Sign, and attach bill of materials and report. What is signed already is not signed again."""
    try:
        cosign.verify(workspace.settings, reference, workspace.image.name, workspace.version)
        workspace.say("unchanged: signed")
    except Conflict:
        cosign.sign(workspace.settings, reference, workspace.image.name, workspace.version)
        cosign.verify(workspace.settings, reference, workspace.image.name, workspace.version)
        workspace.say("signed")
    # Always: a crash in between must not leave a signature without them.
    cosign.attest(workspace.settings, reference, "cyclonedx", workspace.work / "sbom.json")
    cosign.attest(workspace.settings, reference, REPORT_TYPE, workspace.work / "report.json")


def record(
    portal: Portal,
    actor: Actor,
    workspace: Workspace,
    reference: str,
    packages: Packages,
    report: Report,
) -> Release:
    """Register the candidate."""
    tested = (workspace.work / "tests.json").exists()  # not what was adopted
    shown = workspace.needed("tests", Tests, "test").seen if tested else {}
    built = workspace.built()
    labels = built["Config"].get("Labels") or {}
    return images.register(
        portal,
        actor,
        Candidate(
            image=workspace.image.name,
            version=workspace.version,
            reference=reference,
            size_bytes=int(built["Size"]),
            download_bytes=Registry(workspace.settings).download_bytes(reference),
            standin=labels.get(building.LABEL_STANDIN) == "true",
            created_at=workspace.created_at,
            packages=packages.all(),
            shown=shown,
            report=report,
        ),
    )


def require_passed(workspace: Workspace) -> Report:
    """The report about exactly this built image, not older than a day, its tests passed.

    Raises Conflict.
    """
    workspace.needed("tests", Tests, "test")
    report = workspace.needed("report", Report, "check")
    if datetime.now(UTC) - report.scanned_at > REPORT_HOLDS:
        raise Conflict(
            "report_old", "The last check is older than a day.", "Run admin.py image check again."
        )
    if not report.passed:
        raise refusal(report)
    return report


def pushed(workspace: Workspace) -> str:
    """name@digest of exactly this built image in the registry.

    Raises Conflict when it is not there.
    """
    repository = workspace.settings.registry.repository(workspace.image.name)
    digest_there = Registry(workspace.settings).digest_of(f"{repository}@", workspace.version)
    if digest_there is None or not _is(workspace, digest_there):
        raise Conflict(
            "not_pushed",
            f"{repository}:{workspace.version} is not in the registry as it was built here.",
            f"Run admin.py image push {workspace.image.name} first.",
        )
    return f"{repository}@{digest_there}"
