"""Releases of curated images: registered, approved, deprecated, withdrawn, scanned again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Unpack

from portal import db
from portal.context import Portal
from portal.core.errors import Conflict, Forbidden, Invalid, NotFound
from portal.core.models import Deployment, Release, ReleaseState
from portal.core.people import Actor, User
from portal.core.reasons import check_reason
from portal.db.columns import ReleaseColumns
from portal.db.connection import Tx, serialize_writers
from portal.images import launch_gate
from portal.images.queries import known
from portal.images.report import Report
from portal.users import permissions

REFERENCE = re.compile(r"[a-z0-9][a-z0-9.:/_-]*@sha256:[0-9a-f]{64}")
FLAW = "CVE-2026-1234 in OpenSSL; use 1.2.0."
"""What a reason may be, for who gave none."""
DECIDED_FROM = {
    ReleaseState.APPROVED: {ReleaseState.CANDIDATE, ReleaseState.DEPRECATED, ReleaseState.APPROVED},
    ReleaseState.DEPRECATED: {ReleaseState.APPROVED},
    ReleaseState.WITHDRAWN: {
        ReleaseState.CANDIDATE,
        ReleaseState.APPROVED,
        ReleaseState.DEPRECATED,
    },
}
"""From which states a curator's decision leads to which.

Withdrawn is the end: publish a new version.
"""


@dataclass(frozen=True)
class Candidate:
    """What publishing made. `reference` is name@digest as engines pull it."""

    image: str
    version: str
    reference: str
    size_bytes: int
    download_bytes: int
    standin: bool
    created_at: datetime
    packages: Mapping[str, str]
    report: Report
    shown: Mapping[str, str] = field(default_factory=dict)
    """The card's packages as notebooks see them; empty where they were not tested here."""


def register(portal: Portal, actor: Actor, candidate: Candidate) -> Release:
    """Record a candidate. The same digest again gets the new report and keeps its state.

    Raises Conflict when the version was published with another digest, or the report does not pass.
    """
    who = permissions.curator(actor)
    if candidate.image not in portal.catalog:
        raise Invalid(
            "unknown_image",
            f"{candidate.image!r} is not in the catalogue.",
            "Add its image.yaml first.",
        )
    if not REFERENCE.fullmatch(candidate.reference):
        raise Invalid(
            "no_digest",
            f"{candidate.reference!r} is not name@sha256:digest; a tag is never deployed.",
            "Give the digest that the push printed.",
        )
    if not candidate.report.passed:
        raise Conflict("refused", "The report does not pass the policy.", "See its findings.")
    now = portal.now()
    with portal.database.transaction() as tx:
        serialize_writers(tx)
        existing = db.releases.by_reference(tx, candidate.reference)
        if existing is None:
            _check_version(tx, candidate)
            _add(portal, tx, now, who, candidate)
        else:
            db.audit.append(
                tx,
                now,
                who,
                "release.scanned",
                f"image:{candidate.image}",
                version=existing.version,
                refused=[],
                waived=len(candidate.report.accepted),
            )
        release = db.releases.by_reference(tx, candidate.reference)
        assert release is not None
        _put_report(tx, release.id, dict(candidate.packages), candidate.report)
        return db.releases.by_id(tx, release.id) or release


def _add(portal: Portal, tx: Tx, now: datetime, who: str, candidate: Candidate) -> None:
    db.releases.insert(tx, **_columns(portal, who, candidate))
    db.audit.append(
        tx,
        now,
        who,
        "release.candidate",
        f"image:{candidate.image}",
        version=candidate.version,
        reference=candidate.reference,
    )


def _check_version(tx: Tx, candidate: Candidate) -> None:
    for release in db.releases.all_releases(tx):
        if (release.image, release.version) == (candidate.image, candidate.version):
            raise taken(candidate.image, candidate.version)


def taken(image: str, version: str) -> Conflict:
    """A version names one digest for ever."""
    return Conflict(
        "version_taken",
        f"{image} {version} was already published with different content.",
        f"Raise the version in images/{image}/image.yaml.",
    )


def _columns(portal: Portal, who: str, candidate: Candidate) -> ReleaseColumns:
    return {
        "state": ReleaseState.CANDIDATE,
        "published_by": who,
        "image": candidate.image,
        "version": candidate.version,
        "reference": candidate.reference,
        "digest": candidate.reference.partition("@")[2],
        "size_bytes": candidate.size_bytes,
        "download_bytes": candidate.download_bytes,
        "standin": candidate.standin,
        "created_at": candidate.created_at,
        "highlights": list(
            portal.catalog[candidate.image].highlights(candidate.shown or candidate.packages)
        ),
    }


def _put_report(tx: Tx, release_id: int, packages: dict[str, str], report: Report) -> None:
    first = report.refused[0] if report.refused else None
    problem = f"{first.text or first.id}" if first else ""
    db.releases.put_report(tx, release_id, packages, report.model_dump(mode="json"))
    db.releases.update(
        tx,
        release_id,
        scanned_at=report.scanned_at,
        refused_for=first.kind if first else "",
        problem=problem.rstrip("."),
        waived=len(report.accepted),
        waived_until=min((accepted.waiver.expires for accepted in report.accepted), default=None),
    )


def scanned(
    portal: Portal, actor: Actor, release_id: int, packages: Mapping[str, str], report: Report
) -> Release:
    """Record a new scan.

    One that does not pass keeps the release from starting until it does again.
    """
    who, now = permissions.curator(actor), portal.now()
    with portal.database.transaction() as tx:
        release = known(tx, release_id)
        _put_report(tx, release_id, dict(packages), report)
        db.audit.append(
            tx,
            now,
            who,
            "release.scanned",
            f"image:{release.image}",
            version=release.version,
            refused=[finding.id for finding in report.refused],
            waived=len(report.accepted),
        )
        return known(tx, release_id)


def approve(portal: Portal, actor: Actor, release_id: int) -> Release:
    """Make a release the current one of its image; going back to a deprecated one is allowed."""
    with portal.database.reading() as tx:
        current = known(tx, release_id)
        latest = db.releases.approved(tx).get(current.image)
    who = permissions.curator(actor)
    if latest == current:
        return current
    if portal.settings.approval_by_another and not isinstance(actor, User):
        raise Forbidden(
            "needs_a_person",
            "A release is approved by a person, not on the command line.",
            "Approve it on the Images page with your card, or by REST.",
        )
    if portal.settings.approval_by_another and current.published_by == who:
        raise Forbidden(
            "own_release",
            f"You published {current.image} {current.version} yourself.",
            "Ask another curator to approve it.",
        )
    return _decide(
        portal,
        actor,
        release_id,
        ReleaseState.APPROVED,
        reason="",
        approved_by=who,
        approved_at=portal.now(),
    )


def deprecate(portal: Portal, actor: Actor, release_id: int, reason: str) -> Release:
    """No new containers of it; what exists may go on and start again."""
    note = check_reason(reason, FLAW)
    return _decide(portal, actor, release_id, ReleaseState.DEPRECATED, reason=note)


def withdraw(portal: Portal, actor: Actor, release_id: int, reason: str) -> Release:
    """It can no longer be started. What runs of it goes on, and its owners see why."""
    note = check_reason(reason, FLAW)
    return _decide(portal, actor, release_id, ReleaseState.WITHDRAWN, reason=note)


def _decide(
    portal: Portal,
    actor: Actor,
    release_id: int,
    after: ReleaseState,
    **columns: Unpack[ReleaseColumns],
) -> Release:
    who, now = permissions.curator(actor), portal.now()
    with portal.database.transaction() as tx:
        serialize_writers(tx)
        release = known(tx, release_id)
        if release.state not in DECIDED_FROM[after]:
            raise Conflict(
                "not_now",
                f"{release.image} {release.version} is {release.state} and cannot be {after}.",
                "Publish a new version." if release.state is ReleaseState.WITHDRAWN else "",
            )
        change: ReleaseColumns = {**columns, "state": after}
        db.releases.update(tx, release_id, **change)
        decided = known(tx, release_id)
        if after is ReleaseState.APPROVED:
            launch_gate.check(portal.settings, decided, now)  # what could not start is not approved
        details = db.audit.changed(
            {"state": release.state, "reason": release.reason},
            {"state": decided.state, "reason": decided.reason},
        )
        named = {"version": release.version, "reference": release.reference}
        about = f"image:{release.image}"
        db.audit.append(tx, now, who, f"release.{after}", about, **named, **details)
    return decided


def who_runs(portal: Portal, actor: Actor, release_id: int) -> list[Deployment]:
    """Everybody's deployments of a release that are not removed, for curators."""
    permissions.catalogue_reader(actor)
    with portal.database.reading() as tx:
        return db.deployments.of_release(tx, known(tx, release_id).id)


def find(portal: Portal, image: str, version: str) -> Release:
    """The release of an image with this version. NotFound naming those that exist."""
    with portal.database.reading() as tx:
        of_image = [release for release in db.releases.all_releases(tx) if release.image == image]
    for release in of_image:
        if release.version == version:
            return release
    known = ", ".join(release.version for release in of_image) or "none"
    raise NotFound(
        "no_such_release", f"There is no release {version} of {image}.", f"Known: {known}."
    )
