"""Releases that are in the registry already: adopt another portal's, scan one again."""

from __future__ import annotations

from collections.abc import Callable

import docker
from portal import images
from portal.context import Portal
from portal.core.errors import Conflict, EngineError
from portal.core.models import Release
from portal.core.people import Actor
from registry import cosign
from registry.client import Registry

from publishing import pipeline
from publishing import scan as scanning
from publishing.workspace import Workspace


def adopt(portal: Portal, actor: Actor, workspace: Workspace) -> Release:
    """Adopt what another portal published and `image mirror` brought: verify, scan, register."""
    repository = workspace.settings.registry.repository(workspace.image.name)
    digest = Registry(workspace.settings).digest_of(f"{repository}@", workspace.version)
    if digest is None:
        raise Conflict(
            "not_there",
            f"{repository}:{workspace.version} is not in the registry.",
            "Mirror it there first.",
        )
    reference = f"{repository}@{digest}"
    cosign.verify(workspace.settings, reference, workspace.image.name, workspace.version)
    _ensure_local(workspace, digest)
    packages = scanning.materials(workspace)
    return pipeline.record(
        portal, actor, workspace, reference, packages, scanning.scan(workspace, packages)
    )


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
    workspace = Workspace(portal.settings, image, image.builds[0], release.version, say)
    _ensure_local(workspace, release.digest)
    packages = scanning.materials(workspace)
    report = scanning.scan(workspace, packages, strict=False, published=True)
    cosign.attest(
        portal.settings, release.reference, pipeline.REPORT_TYPE, workspace.work / "report.json"
    )
    return images.scanned(portal, actor, release.id, packages.all(), report)


def _ensure_local(workspace: Workspace, digest: str) -> None:
    name = workspace.local.rpartition(":")[0]
    reference = f"{name}@{digest}"
    settings = workspace.settings
    try:
        workspace.engine.images.get(reference)
    except docker.errors.ImageNotFound:
        workspace.say(f"pulling {reference}")
        try:
            workspace.engine.api.pull(
                reference, auth_config=settings.registry.docker_login(reference)
            )
            workspace.engine.images.get(reference)
        except docker.errors.APIError as error:
            raise EngineError(
                "not_pulled",
                f"{reference} cannot be pulled: {error.explanation}",
                "Check the registry.",
            ) from error
    workspace.engine.images.get(reference).tag(name, workspace.version)
