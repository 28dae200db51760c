"""What people see of the images: where they are ready, what they contain, what changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from portal import db
from portal.context import Portal
from portal.core.catalog import Image
from portal.core.errors import NotFound
from portal.core.models import Release, ReleaseState
from portal.core.people import User
from portal.db import Tx
from portal.images import launch_gate
from portal.images.report import Report
from portal.users import permissions

SHOWN_TO_ALL = {ReleaseState.APPROVED, ReleaseState.DEPRECATED}


@dataclass(frozen=True)
class Ready:
    """On how many of the VMs that a user may use an image is there already."""

    vms: int
    of: int
    names: tuple[str, ...]


@dataclass(frozen=True)
class PackagesAndReport:
    """What is in a release, and what was found in it. System packages are named deb:NAME."""

    packages: Mapping[str, str]
    report: Report


@dataclass(frozen=True)
class Change:
    """A package that differs between two releases; "" where it is not there."""

    name: str
    before: str
    after: str


def ready(portal: Portal, user: User) -> dict[str, Ready]:
    """By image name, for the releases that new containers run.

    GPU images are looked for on VMs with GPUs.
    """
    with portal.database.reading() as tx:
        mine = permissions.eligible_vms(db.vms.all_vms(tx), user)
        on_vms = db.releases.vms_with(tx)
        approved = db.releases.approved(tx)
    ready = {}
    for name, release in approved.items():
        fit = [
            vm
            for vm in mine
            if vm.gpu_access or not (name in portal.catalog and portal.catalog[name].gpu)
        ]
        has = [vm for vm in fit if vm.id in on_vms.get(release.id, set())]
        ready[name] = Ready(len(has), len(fit), tuple(vm.name for vm in has))
    return ready


@dataclass(frozen=True)
class OfferedImage:
    """An image that may be deployed, its approved release, and where that is ready."""

    image: Image
    release: Release
    ready: Ready


def offered(portal: Portal, user: User) -> list[OfferedImage]:
    """The images that may be deployed, in the catalogue's order."""
    with portal.database.reading() as tx:
        approved = db.releases.approved(tx)
    where = ready(portal, user)
    return [
        OfferedImage(image, approved[name], where[name])
        for name, image in portal.catalog.items()
        if name in approved and name in where
    ]


def all_releases(portal: Portal, user: User) -> list[Release]:
    """By image, newest first; to others than curators only what can start."""
    with portal.database.reading() as tx:
        releases = db.releases.all_releases(tx)
    now = portal.now()
    return (
        releases
        if permissions.sees_catalogue(user)
        else [
            release
            for release in releases
            if not launch_gate.problem(portal.settings, release, now)
        ]
    )


def current(portal: Portal) -> set[int]:
    """The numbers of the releases that new containers run."""
    with portal.database.reading() as tx:
        return {release.id for release in db.releases.approved(tx).values()}


def known(tx: Tx, release_id: int) -> Release:
    """The release with this number. Raises NotFound."""
    release = db.releases.by_id(tx, release_id)
    if release is None:
        raise _no_such()
    return release


def _no_such() -> NotFound:
    return NotFound("no_such_release", "There is no such release.", "The Images page shows all.")


def contents(portal: Portal, user: User, release_id: int) -> PackagesAndReport | None:
    """What is in a release; None when it was never scanned.

    NotFound for what the user may not see.
    """
    with portal.database.reading() as tx:
        release = known(tx, release_id)
        if release.state not in SHOWN_TO_ALL and not permissions.sees_catalogue(user):
            raise _no_such()
        stored = db.releases.report_of(tx, release_id)
    if stored is None:
        return None
    packages, report = stored
    return PackagesAndReport(packages, Report.model_validate(report))


@dataclass(frozen=True)
class Hit:
    """Where a package or finding is: a release, what of it fits, and who has a container of it."""

    release: Release
    what: str
    people: tuple[str, ...]


def search(portal: Portal, user: User, text: str) -> list[Hit]:
    """Every release in which a package, a version or a finding contains the text, for curators."""
    permissions.catalogue_reader(user)
    words = text.strip().lower()
    if not words:
        return []
    with portal.database.reading() as tx:
        releases = {release.id: release for release in db.releases.all_releases(tx)}
        rows = db.releases.all_reports(tx)
        people = {
            release: sorted(
                {each.owner.display_name for each in db.deployments.of_release(tx, release)}
            )
            for release in db.releases.in_use(tx)
        }
    hits = []
    for row in rows:
        fits = [
            f"{name.removeprefix('deb:')} {version}"
            for name, version in row.packages.items()
            if words in f"{name.removeprefix('deb:')} {version}".lower()
        ]
        fits += [
            finding["text"] or finding["id"]
            for finding in row.report["findings"]
            if words in f"{finding['id']} {finding['subject']}".lower()
        ]
        if fits:
            hits.append(
                Hit(
                    releases[row.release_id],
                    ", ".join(fits[:5]),
                    tuple(people.get(row.release_id, ())),
                )
            )
    return sorted(hits, key=lambda hit: (hit.release.image, -hit.release.id))


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[Change]:
    """What differs, by name."""
    names = sorted(set(before) | set(after))
    return [
        Change(name, before.get(name, ""), after.get(name, ""))
        for name in names
        if before.get(name) != after.get(name)
    ]


def running(portal: Portal, user: User) -> dict[int, int]:
    """How many containers each release has, by its number, for curators."""
    permissions.catalogue_reader(user)
    with portal.database.reading() as tx:
        return db.releases.in_use(tx)


def deciders(portal: Portal, release: Release) -> tuple[str, str]:
    """Who published and who approved it, by name where they are people; "" for nobody."""
    with portal.database.reading() as tx:
        people = [
            db.users.by_subject(tx, who) for who in (release.published_by, release.approved_by)
        ]
    published, approved = people
    return (
        published.display_name if published else release.published_by,
        approved.display_name if approved else release.approved_by,
    )
