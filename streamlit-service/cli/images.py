"""`admin.py image …`: build, test, scan, publish, approve, withdraw and mirror curated images."""

from __future__ import annotations

from typing import Annotated

import typer
from portal import db, images, users
from portal.context import Portal
from portal.core.errors import Conflict, PortalError
from portal.core.models import Release, ReleaseState
from portal.core.people import Actor
from portal.users import permissions
from publishing import adopt as adopting
from publishing import build as building
from publishing import mirror, pipeline
from publishing import scan as scanning
from publishing.sbom import Packages
from publishing.workspace import ProgressLog, Workspace
from registry import cosign

from cli.common import actor, print_json, wired

app = typer.Typer(no_args_is_help=True, help="Curated images and their releases.")

Name = Annotated[str, typer.Argument(help="a folder of images/, e.g. ml-cpu")]
Variant = Annotated[str, typer.Option(help="one of image.yaml's builds, e.g. cuda")]
Version = Annotated[str, typer.Option(help="default: image.yaml's, with the variant")]
Fresh = Annotated[bool, typer.Option("--fresh", help="use no cached layer and no earlier result")]
Publisher = Annotated[
    str, typer.Option(envvar="PORTAL_PUBLISHER", help="the curator who publishes, e.g. edipi:…")
]
Reason = Annotated[str, typer.Option(help="why; shown to the owners of containers")]


def _publisher(portal: Portal, subject: str) -> Actor:
    """Who publishes: a known curator where a second person has to approve."""
    if not portal.settings.approval_by_another and not subject:
        return actor()
    with portal.database.reading() as tx:
        known = db.users.by_subject(tx, subject)
        user = users.shown(portal, tx, [known])[0] if known else None
    if user is None or not permissions.is_curator(user):
        problem = (
            f"{subject} is not known as an image curator." if subject else "No publisher was given."
        )
        raise Conflict(
            "no_publisher",
            problem,
            "Give --publisher edipi:…, naming a curator who has signed in before.",
        )
    return user


def _workspace(
    portal: Portal, name: str, variant: str, version: str, *, fresh: bool = False
) -> Workspace:
    return pipeline.workspace_for(
        portal, name, variant, version, ProgressLog(typer.echo), fresh=fresh
    )


@app.command()
def publish(
    name: Name,
    variant: Variant = "",
    version: Version = "",
    fresh: Fresh = False,
    publisher: Publisher = "",
    approve: Annotated[
        bool, typer.Option("--approve", help="approve it too, where settings allow")
    ] = False,
) -> None:
    """Lint, build, test, scan, push, sign and record as a candidate; each step may refuse."""
    portal = wired()
    who = _publisher(portal, publisher)
    release = pipeline.publish(portal, who, _workspace(portal, name, variant, version, fresh=fresh))
    if approve:
        release = images.approve(portal, actor(), release.id)
    _tell(portal, release)


@app.command()
def lint(name: Name, variant: Variant = "") -> None:
    """Run hadolint on the Dockerfile, and compare its base with image.yaml."""
    building.lint(_workspace(wired(), name, variant, ""))


@app.command()
def build(name: Name, variant: Variant = "", version: Version = "", fresh: Fresh = False) -> None:
    """Build on the pinned base."""
    workspace = _workspace(wired(), name, variant, version, fresh=fresh)
    building.build(workspace, building.ensure_base(workspace))


@app.command()
def test(name: Name, variant: Variant = "", version: Version = "", fresh: Fresh = False) -> None:
    """Run the tests in the built image's container."""
    pipeline.test(_workspace(wired(), name, variant, version, fresh=fresh))


@app.command()
def sbom(name: Name, variant: Variant = "", version: Version = "", fresh: Fresh = False) -> None:
    """Create the bill of materials, and inspect what else the image contains."""
    scanning.materials(_workspace(wired(), name, variant, version, fresh=fresh))


@app.command()
def check(name: Name, variant: Variant = "", version: Version = "") -> None:
    """Scan the built image and apply the policy."""
    scanning.scan(_workspace(wired(), name, variant, version))


@app.command()
def push(name: Name, variant: Variant = "", version: Version = "") -> None:
    """Push the built image, if its tests and its last check passed."""
    workspace = _workspace(wired(), name, variant, version)
    pipeline.require_passed(workspace)
    pipeline.push(workspace)


@app.command()
def sign(name: Name, variant: Variant = "", version: Version = "") -> None:
    """Sign what was pushed, and attach its bill of materials and report."""
    workspace = _workspace(wired(), name, variant, version)
    pipeline.require_passed(workspace)
    pipeline.sign(workspace, pipeline.pushed(workspace))


@app.command()
def record(
    name: Name, variant: Variant = "", version: Version = "", publisher: Publisher = ""
) -> None:
    """Record what was pushed and signed as a candidate."""
    portal = wired()
    workspace = _workspace(portal, name, variant, version)
    report = pipeline.require_passed(workspace)
    reference = pipeline.pushed(workspace)
    cosign.verify(portal.settings, reference, name, workspace.version)
    packages = workspace.needed("packages", Packages, "sbom")
    _tell(
        portal,
        pipeline.record(
            portal, _publisher(portal, publisher), workspace, reference, packages, report
        ),
    )


@app.command()
def adopt(name: Name, version: Annotated[str, typer.Argument()], publisher: Publisher = "") -> None:
    """Sign a release mirrored into this portal's registry, and record it as a candidate."""
    portal = wired()
    workspace = _workspace(portal, name, version.partition("-")[2], version)
    _tell(portal, adopting.adopt(portal, _publisher(portal, publisher), workspace))


def _tell(portal: Portal, release: Release) -> None:
    typer.echo(f"{release.image} {release.version} is {release.state}: {release.reference}")
    if release.state is ReleaseState.CANDIDATE:
        command = (
            f"Approve it on the Images page, or: admin.py image approve {release.image}"
            f" {release.version}"
        )
        another = "Another curator approves it on the Images page."
        typer.echo(another if portal.settings.approval_by_another else command)


@app.command()
def scan(
    name: Annotated[str, typer.Argument(help="an image; or --all")] = "",
    version: Annotated[str, typer.Option(help="default: every one that may run")] = "",
    of_all: Annotated[
        bool, typer.Option("--all", help="all that may run, and withdrawn ones still running")
    ] = False,
) -> None:
    """Scan published releases again; new findings apply from the next start on.

    Continues after a failure; exit code 1 if any does not pass or could not be scanned.
    """
    portal = wired()
    if bool(name) == of_all:
        raise typer.BadParameter("give an image, or --all")
    with portal.database.reading() as tx:
        releases, running = db.releases.all_releases(tx), db.releases.running(tx)
    chosen = (
        [images.find(portal, name, version)]
        if version
        else [
            release
            for release in releases
            if name in ("", release.image)
            and (release.state in mirror.COPIED or release.id in running)
        ]
    )
    say = ProgressLog(typer.echo)
    good = [_scan_one(portal, release, say) for release in chosen]
    if not all(good):
        raise typer.Exit(1)


def _scan_one(portal: Portal, release: Release, say: ProgressLog) -> bool:
    say(f"{release.image} {release.version}")
    try:
        after = adopting.rescan(portal, actor(), release, say)
    except PortalError as error:
        say(f"{release.image} {release.version} could not be scanned: {error.message} {error.hint}")
        return False
    say(
        f"{after.image} {after.version}"
        f" {f'does not pass: {after.problem}' if after.refused_for else 'passes'}"
    )
    return not after.refused_for


@app.command()
def verify(
    name: Name,
    version: Annotated[str, typer.Argument()],
    at: Annotated[
        str, typer.Option(help="host[:port][/prefix] of a mirror instead of the portal's registry")
    ] = "",
) -> None:
    """Check a release's signature in the registry, or in a mirror."""
    portal = wired()
    release = images.find(portal, name, version)
    reference = f"{mirror.check_target(at)}/{name}@{release.digest}" if at else release.reference
    cosign.verify(portal.settings, reference, name, version)
    typer.echo(f"{reference} is signed as {name} {version}.")


@app.command()
def approve(name: Name, version: Annotated[str, typer.Argument()]) -> None:
    """Make a release the one that new containers run."""
    portal = wired()
    release = images.approve(portal, actor(), images.find(portal, name, version).id)
    typer.echo(f"{name} {release.version} is approved: {release.reference}")


@app.command()
def deprecate(name: Name, version: Annotated[str, typer.Argument()], reason: Reason) -> None:
    """Stop offering a release; its containers keep running and may start again."""
    portal = wired()
    images.deprecate(portal, actor(), images.find(portal, name, version).id, reason)
    typer.echo(f"{name} {version} is deprecated. Undo: admin.py image approve {name} {version}")


@app.command()
def withdraw(name: Name, version: Annotated[str, typer.Argument()], reason: Reason) -> None:
    """Bar a release from being started; prints who runs it."""
    portal = wired()
    release = images.withdraw(portal, actor(), images.find(portal, name, version).id, reason)
    affected = images.who_runs(portal, actor(), release.id)
    typer.echo(f"{name} {version} is withdrawn. Containers affected: {len(affected)}.")
    for deployment in affected:
        owner = deployment.owner
        container = f"{deployment.name}, {deployment.state}"
        typer.echo(f"  {owner.display_name} ({owner.subject}): {container}")


@app.command("list")
def list_releases() -> None:
    """Every release, as JSON."""
    with wired().database.reading() as tx:
        print_json([vars(release) for release in db.releases.all_releases(tx)])


@app.command("mirror")
def mirror_images(
    target: Annotated[
        str, typer.Argument(help="host[:port][/prefix]; log in with `docker login` before")
    ],
    source: Annotated[
        str, typer.Option(help="host[:port][/prefix] instead of the portal's registry")
    ] = "",
    bases: Annotated[
        bool, typer.Option("--bases", help="the pinned base images instead of releases")
    ] = False,
    name: Annotated[str, typer.Option(help="only this image")] = "",
) -> None:
    """Copy releases or bases to another registry by digest, with signatures and attestations."""
    portal = wired()
    aim, say = mirror.check_target(target), ProgressLog(typer.echo)
    if bases:
        count = mirror.copy_bases(portal.settings, portal.catalog.values(), aim, say)
        typer.echo(f"{count} bases are in {aim}.")
        return
    with portal.database.reading() as tx:
        chosen = [
            release for release in db.releases.all_releases(tx) if name in ("", release.image)
        ]
    copied = mirror.copy_releases(
        portal.settings, chosen, aim, say, mirror.check_target(source) if source else ""
    )
    if not copied:
        raise Conflict("nothing_to_copy", "There is no release to copy.", "Publish one first.")
    for reference in copied:
        typer.echo(reference)
