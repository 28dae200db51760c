"""`admin.py image …`: build, test, scan, publish, approve, withdraw and mirror curated images."""

from __future__ import annotations

import getpass
import json
from typing import Annotated, Any

import cosign
import typer
import wiring
from portal import images, releases
from portal.context import Portal
from portal.errors import PortalError
from portal.models import ReleaseState
from portal.report import Report
from publishing import building, mirror, recipe
from publishing.bench import Bench, Stopwatch
from publishing.contents import Contents

app = typer.Typer(no_args_is_help=True, help="Curated images and their releases.")

Name = Annotated[str, typer.Argument(help="a folder of images/, e.g. ml-cpu")]
Variant = Annotated[str, typer.Option(help="one of image.yaml's builds, e.g. cuda")]
Version = Annotated[str, typer.Option(help="default: image.yaml's, with the variant")]
Fresh = Annotated[bool, typer.Option("--fresh", help="use no cached layer and no earlier result")]
Reason = Annotated[str, typer.Option(help="why; owners of containers read it")]


def _portal() -> Portal:
    return wiring.portal(wiring.settings())


def _actor() -> str:
    return f"cli:{getpass.getuser()}"


def _bench(portal: Portal, name: str, variant: str, version: str, *, fresh: bool = False) -> Bench:
    return recipe.bench_for(portal, name, variant, version, Stopwatch(typer.echo), fresh=fresh)


@app.command()
def publish(
    name: Name,
    variant: Variant = "",
    version: Version = "",
    fresh: Fresh = False,
    approve: Annotated[bool, typer.Option("--approve", help="approve it too, where settings allow")] = False,
) -> None:
    """Lint, build, test, scan, push, sign and record as a candidate; each step refuses for its own reason."""
    portal = _portal()
    release = recipe.publish(portal, _actor(), _bench(portal, name, variant, version, fresh=fresh))
    if approve:
        release = images.approve(portal, _actor(), release.id)
    typer.echo(f"{release.image} {release.version} is {release.state}: {release.reference}")
    if release.state is ReleaseState.CANDIDATE:
        typer.echo(f"Approve it on the Images page, or: admin.py image approve {release.image} {release.version}")


@app.command()
def lint(name: Name, variant: Variant = "") -> None:
    """Run hadolint on the Dockerfile, and compare its base with image.yaml."""
    building.lint(_bench(_portal(), name, variant, ""))


@app.command()
def build(name: Name, variant: Variant = "", version: Version = "", fresh: Fresh = False) -> None:
    """Build on the pinned base."""
    bench = _bench(_portal(), name, variant, version, fresh=fresh)
    building.build(bench, building.ensure_base(bench))


@app.command()
def test(name: Name, variant: Variant = "", version: Version = "", fresh: Fresh = False) -> None:
    """Run the tests in the built image's container."""
    recipe.test(_bench(_portal(), name, variant, version, fresh=fresh))


@app.command()
def sbom(name: Name, variant: Variant = "", version: Version = "", fresh: Fresh = False) -> None:
    """Make the bill of materials, and read what else is inside."""
    recipe.materials(_bench(_portal(), name, variant, version, fresh=fresh))


@app.command()
def check(name: Name, variant: Variant = "", version: Version = "") -> None:
    """Scan the built image and apply the policy."""
    recipe.scan(_bench(_portal(), name, variant, version))


@app.command()
def push(name: Name, variant: Variant = "", version: Version = "") -> None:
    """Push the built image, if its last check passed."""
    portal = _portal()
    bench = _bench(portal, name, variant, version)
    _passed(bench)
    recipe.push(portal, bench)


@app.command()
def sign(name: Name, reference: Annotated[str, typer.Option(help="registry/name@sha256:…, as push printed it")],
         variant: Variant = "", version: Version = "") -> None:  # fmt: skip
    """Sign a pushed digest and attach its bill of materials and report."""
    bench = _bench(_portal(), name, variant, version)
    _passed(bench)
    recipe.sign(bench, reference)


def _passed(bench: Bench) -> None:
    bench.needed("contents", Contents, "sbom")
    report = bench.needed("report", Report, "check")
    if not report.passed:
        raise recipe.refusal(report)


@app.command()
def scan(name: Name, version: Annotated[str, typer.Option(help="default: every one that may run")] = "") -> None:
    """Scan published releases again; what is found counts at the next launch. Exit code 1 when one does not pass."""
    portal = _portal()
    with portal.store.reading() as tx:
        every = releases.every(tx)
    runs = {ReleaseState.CANDIDATE, ReleaseState.APPROVED, ReleaseState.DEPRECATED}
    chosen = [images.find(portal, name, version)] if version else [
        one for one in every if one.image == name and one.state in runs]  # fmt: skip
    say, failed = Stopwatch(typer.echo), 0
    for release in chosen:
        say(f"{release.image} {release.version}")
        after = recipe.rescan(portal, _actor(), release, say)
        failed += bool(after.refused_for)
        say(f"{after.image} {after.version} {f'does not pass: {after.problem}' if after.refused_for else 'passes'}")
    if failed:
        raise typer.Exit(1)


@app.command()
def verify(
    name: Name,
    version: Annotated[str, typer.Argument()],
    at: Annotated[str, typer.Option(help="host[:port][/prefix] of a mirror instead of the portal's registry")] = "",
) -> None:
    """Check a release's signature in the registry, or in a mirror."""
    portal = _portal()
    release = images.find(portal, name, version)
    reference = f"{mirror.check_target(at)}/{name}@{release.digest}" if at else release.reference
    cosign.verify(portal.settings, reference, name, version)
    typer.echo(f"{reference} is signed as {name} {version}.")


@app.command()
def approve(name: Name, version: Annotated[str, typer.Argument()]) -> None:
    """Make a release the one that new containers run."""
    portal = _portal()
    release = images.approve(portal, _actor(), images.find(portal, name, version).id)
    typer.echo(f"{name} {release.version} is approved: {release.reference}")


@app.command()
def deprecate(name: Name, version: Annotated[str, typer.Argument()], reason: Reason) -> None:
    """No new containers of a release; what exists may go on and start again."""
    portal = _portal()
    images.deprecate(portal, _actor(), images.find(portal, name, version).id, reason)
    typer.echo(f"{name} {version} is deprecated. Undo: admin.py image approve {name} {version}")


@app.command()
def withdraw(name: Name, version: Annotated[str, typer.Argument()], reason: Reason) -> None:
    """A release starts no more; prints who runs it."""
    portal = _portal()
    release = images.withdraw(portal, _actor(), images.find(portal, name, version).id, reason)
    users = images.who_runs(portal, _actor(), release.id)
    typer.echo(f"{name} {version} is withdrawn. {len(users)} containers of it are marked.")
    for one in users:
        typer.echo(f"  {one.owner.display_name} ({one.owner.subject}): {one.name}, {one.state}")


@app.command("list")
def list_releases() -> None:
    """Every release, as JSON."""
    with _portal().store.reading() as tx:
        rows: list[dict[str, Any]] = [vars(one) for one in releases.every(tx)]
    typer.echo(json.dumps(rows, indent=2, default=str))


@app.command("mirror")
def mirror_images(
    target: Annotated[str, typer.Argument(help="host[:port][/prefix]; log in with `docker login` before")],
    source: Annotated[str, typer.Option(help="host[:port][/prefix] instead of the portal's registry")] = "",
    bases: Annotated[bool, typer.Option("--bases", help="the pinned base images instead of releases")] = False,
    name: Annotated[str, typer.Option(help="only this image")] = "",
) -> None:
    """Copy releases, or bases, to another registry by digest, signatures and attestations included."""
    portal = _portal()
    aim, say = mirror.check_target(target), Stopwatch(typer.echo)
    if bases:
        count = mirror.copy_bases(portal.settings, portal.catalog.values(), aim, say)
        typer.echo(f"{count} bases are in {aim}.")
        return
    with portal.store.reading() as tx:
        chosen = [one for one in releases.every(tx) if name in ("", one.image)]
    made = mirror.copy_releases(portal.settings, chosen, aim, say, mirror.check_target(source) if source else "")
    if not made:
        raise PortalError("nothing_to_copy", "There is no release to copy.", "Publish one first.")
    for reference in made:
        typer.echo(reference)
