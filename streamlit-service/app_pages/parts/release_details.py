"""The tabs below a release: packages, what changed, findings, and for curators who runs it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import streamlit as st
import wording
from portal import images
from portal.core.models import Deployment, Release
from portal.images.report import Finding, Report, Severity, Waiver
from portal.users import permissions

from app_pages.parts import session, tables


def label(release: Release) -> str:
    """A release among the others of its image."""
    return f"{release.version} ({release.state})"


def show(release: Release, of_image: Mapping[int, Release]) -> None:
    """The tabs; `of_image`: every release of the same image, the newest first."""
    contents = images.contents(session.portal(), session.user(), release.id)
    titles, users = ["Packages", "What changed", "Findings"], list[Deployment]()
    if permissions.sees_catalogue(session.user()):
        users = images.who_runs(session.portal(), session.user(), release.id)
        titles.append(f"Who runs it ({len(users)})" if users else "Who runs it")
    # Who runs it is what curators come for, in a hurry; without anybody the packages say more.
    key = f"about-{release.id}"  # another run of the page leaves the tab that was chosen
    tabs = st.tabs(titles, default=titles[-1] if users else None, key=key)
    if contents is None:
        for tab in tabs[:3]:
            tab.info(
                "No scan results: this release predates scanning. Publish it again.",
                icon=":material/info:",
            )
    else:
        with tabs[0]:
            _packages(contents.packages)
        with tabs[1]:
            _changes(release, of_image, contents.packages)
        with tabs[2]:
            _findings(contents.report)
    if permissions.sees_catalogue(session.user()):
        with tabs[3]:
            _who(users)


def _packages(packages: Mapping[str, str]) -> None:
    of = {True: "system", False: "Python"}
    rows = [
        {
            "Package": name.removeprefix("deb:"),
            "Version": version,
            "Type": of[name.startswith("deb:")],
        }
        for name, version in packages.items()
    ]
    st.caption(
        f"{wording.plural(len(rows), 'package')}. Search and download: icons above the table."
    )
    tables.draw(rows, key="packages")


def _changes(
    release: Release, of_image: Mapping[int, Release], packages: Mapping[str, str]
) -> None:
    others = [other for other in of_image.values() if other.id != release.id]
    if not others:
        st.info("There is no other release of this image to compare with.", icon=":material/info:")
        return
    older = [other.id for other in others if other.id < release.id]
    ids = [release.id for release in others]
    start = ids.index(older[0]) if older else 0
    other = of_image[
        st.selectbox(
            "Compared with",
            ids,
            index=start,
            key=f"compare-{release.id}",
            format_func=lambda key: label(of_image[key]),
        )
    ]
    before = images.contents(session.portal(), session.user(), other.id)
    changes = images.changes(before.packages if before else {}, packages)
    if not changes:
        st.success("The packages are the same.", icon=":material/check:")
        return
    changes.sort(key=lambda change: change.name.removeprefix("deb:"))
    rows = [
        {
            "Package": change.name.removeprefix("deb:"),
            other.version: change.before or "–",
            release.version: change.after or "–",
            "Change": _what(change),
        }
        for change in changes
    ]
    tables.draw(rows, key="changes")


def _what(change: images.Change) -> str:
    return "added" if not change.before else "removed" if not change.after else "changed"


def _findings(report: Report) -> None:
    now, zone = session.portal().now(), session.zone()
    for scanner in report.scanners:
        st.caption(
            f"Scanner: {scanner.name}, {scanner.version}; data from"
            f" {wording.ago(scanner.data_date, now)}",
            help=wording.absolute(scanner.data_date, zone),
        )
    st.caption(
        f"Scanned {wording.ago(report.scanned_at, now)}",
        help=wording.absolute(report.scanned_at, zone),
    )
    rated = Counter(finding.severity for finding in report.findings)
    for column, severity in zip(st.columns(len(Severity)), Severity, strict=True):
        column.metric(severity.capitalize(), rated.get(severity, 0))
    if not report.findings:
        st.success("Nothing was found.", icon=":material/check:")
        return
    accepted = {
        (accepted.finding.id, accepted.finding.subject): accepted.waiver
        for accepted in report.accepted
    }
    rows = []
    for finding in report.findings:
        waiver = accepted.get((finding.id, finding.subject))
        rows.append(_finding(finding, waiver, refused=finding in report.refused))
    tables.draw(rows, key="findings")


def _finding(finding: Finding, waiver: Waiver | None, *, refused: bool) -> dict[str, object]:
    verdict = "refused" if refused else "noted"
    return {
        "Policy": f"waived until {waiver.expires}" if waiver else verdict,
        "Kind": finding.kind.replace("_", " "),
        "Id": finding.id,
        "Severity": finding.severity.capitalize(),
        "Where": finding.subject,
        "Installed": finding.installed,
        "Fixed in": finding.fixed or "–",
        "Description": finding.text,
        "Waived by": waiver.owner if waiver else "",
        "Waived because": waiver.reason if waiver else "",
    }


def _who(users: Sequence[Deployment]) -> None:
    if not users:
        st.info("Nobody has a container of this release.", icon=":material/info:")
        return
    tables.draw(
        [_container(deployment) for deployment in users],
        key="who",
    )


def _container(deployment: Deployment) -> dict[str, object]:
    since = (
        wording.absolute(deployment.started_at, session.zone()) if deployment.started_at else "–"
    )
    return {
        "User": deployment.owner.display_name,
        "Subject": deployment.owner.subject,
        "Container": deployment.name,
        "State": deployment.state.capitalize(),
        "VM": deployment.vm.name if deployment.vm else "–",
        "Started": since,
    }
