"""Images: the catalogue, releases, contents, findings, who runs what; decisions for curators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import streamlit as st
import wording
from portal import images
from portal.core.models import Release, ReleaseState
from portal.images import launch_gate
from portal.images.service import DECIDED_FROM
from portal.users import permissions

from app_pages.parts import frame, release_details, session, tables

BADGES = {
    ReleaseState.CANDIDATE: ":blue-badge[:material/pending: Candidate]",
    ReleaseState.APPROVED: ":green-badge[:material/verified: Approved]",
    ReleaseState.DEPRECATED: ":orange-badge[:material/schedule: Deprecated]",
    ReleaseState.WITHDRAWN: ":red-badge[:material/block: Withdrawn]",
}


def page() -> None:
    st.subheader("Images")
    portal, user = session.portal(), session.user()
    releases = images.all_releases(portal, user)
    if not releases:
        publish = " Publish one: `docker compose run --rm publisher image publish ml-cpu`"
        st.info(
            "Every release of the curated images appears here, with its contents. There is none"
            f" yet.{publish if permissions.is_curator(user) else ''}",
            icon=":material/inventory_2:",
        )
        return
    if permissions.sees_catalogue(user):
        _needs_attention()
        _search()
    counts = images.running(portal, user) if permissions.sees_catalogue(user) else None
    current = images.current(portal)
    release = _chosen(releases, current)
    tables.choose_from(
        [_row(each, counts, current) for each in releases],
        [_means(each) for each in releases],
        key="releases",
        chosen=releases.index(release),
    )
    # Tables' rows cannot be chosen with a keyboard.
    names = {each.id: f"{each.image} {each.version}" for each in releases}
    st.selectbox("Release", list(names), key="release", format_func=names.__getitem__)
    of_image = {each.id: each for each in releases if each.image == release.image}
    _release(release, of_image, current=release.id in current)


def _chosen(releases: Sequence[Release], current: set[int]) -> Release:
    """The one that was chosen; else what new containers of an image run, or the newest there is."""
    state = st.session_state
    image = state.pop("images-of", "")
    of_id = {each.id: each for each in releases}
    runs = next((each for each in releases if each.image == image and each.id in current), None)
    if runs:
        state["release"] = runs.id
    elif state.get("release") not in of_id:
        # Not one that is over: who asks who runs an image means one that can run.
        open_ones = (each for each in releases if each.state is not ReleaseState.WITHDRAWN)
        state["release"] = next(open_ones, releases[0]).id
    return of_id[state["release"]]


def _needs_attention() -> None:
    """What waits for a curator; a row leads to its release."""
    portal = session.portal()
    found = images.attention(portal, session.user())
    if not found:
        return
    st.markdown("**Needs attention**")
    words = [wording.attention(each, portal.now()) for each in found]
    tables.choose_from(
        [
            {
                "Release": f"{each.release.image} {each.release.version}",
                "Why": why,
                "What to do": todo,
                "Containers": each.containers,
            }
            for each, (why, todo) in zip(found, words, strict=True)
        ],
        [_means(each.release) for each in found],
        key="attention",
    )


def _means(release: Release) -> dict[str, object]:
    """The widgets that show it."""
    return {"release": release.id}


def _search() -> None:
    """Find who has the package with the flaw."""
    text = st.text_input(
        "Search all releases for a package or CVE",
        key="find",
        placeholder="openssl, or CVE-2026-1234",
    )
    if not text:
        return
    hits = images.search(session.portal(), session.user(), text)
    if not hits:
        st.info(f"No scanned release contains “{text}”.", icon=":material/search_off:")
        return
    tables.draw(
        [
            {
                "Image": hit.release.image,
                "Release": hit.release.version,
                "State": hit.release.state.capitalize(),
                "Found": hit.what,
                "Used by": ", ".join(hit.people) or "nobody",
                # What became known later is not in it.
                "Scanned": _scanned(hit.release),
            }
            for hit in hits
        ],
        key="hits",
    )


def _scanned(release: Release) -> str:
    now = session.portal().now()
    return wording.ago(release.scanned_at, now) if release.scanned_at else "never"


def _row(release: Release, counts: dict[int, int] | None, current: set[int]) -> dict[str, object]:
    state = release.state.capitalize() + (", current" if release.id in current else "")
    row: dict[str, object] = {
        "Image": release.image,
        "Release": release.version,
        "State": state,
        "Scanned": _scanned(release),
        "Policy": wording.verdict(release),
        "Size": wording.size(release.size_bytes),
        "Packages": ", ".join(release.highlights),
    }
    if counts is not None:
        row["Containers"] = counts.get(release.id, 0)
    return row


def _release(release: Release, of_image: dict[int, Release], *, current: bool) -> None:
    zone, now = session.zone(), session.portal().now()
    image = session.portal().catalog.get(release.image)
    standin = (
        " :orange-badge[:material/science: Stand-in base, demo only]" if release.standin else ""
    )
    badge = (
        BADGES[release.state].replace("]", ", current]", 1) if current else BADGES[release.state]
    )
    with st.container(border=True):
        st.markdown(f"#### {release.image} {release.version} {badge}{standin}")
        if image is not None:
            st.markdown(image.purpose)
        published_by, approved_by = images.deciders(session.portal(), release)
        built = f"Built {wording.absolute(release.created_at, zone)}"
        approved = ""
        if release.approved_at and approved_by:
            by = wording.literal(approved_by)
            approved = f" · approved {wording.ago(release.approved_at, now)} by {by}"
            built += f"; approved {wording.absolute(release.approved_at, zone)}"
        st.caption(
            f"{wording.size(release.size_bytes)} on disk, {wording.size(release.download_bytes)} to"
            f" download · published by"
            f" {wording.literal(published_by) or 'an earlier version of the portal'}"
            f"{approved}",
            help=built,
        )
        if release.reason:
            st.warning(
                f"**{release.state.capitalize()}:** {wording.literal(release.reason)}",
                icon=":material/info:",
            )
        if release.state in launch_gate.RUNS and (
            problem := launch_gate.problem(session.portal().settings, release, now)
        ):
            why = wording.literal(problem)
            st.error(f"**It cannot be started:** {why}", icon=":material/gpp_bad:")
        if permissions.is_curator(session.user()):
            _decisions(release, current=current)
    release_details.show(release, of_image)
    with st.expander("Technical details", key="technical"):
        st.markdown("The image as registries and engines name it, by its digest:")
        st.code(release.reference, language=None, wrap_lines=True)


def _decisions(release: Release, *, current: bool) -> None:
    with st.container(horizontal=True):
        if release.state in DECIDED_FROM[ReleaseState.APPROVED] and not current:
            label = "Make current" if release.state is ReleaseState.APPROVED else "Approve"
            st.button(
                label,
                type="primary",
                icon=":material/verified:",
                key="approve",
                on_click=frame.try_to,
                args=(images.approve, release.id),
                kwargs={
                    "done": f"New containers of {release.image} run {release.version} from now on."
                },
                help="New containers of this image run this release.",
            )
        if release.state in DECIDED_FROM[ReleaseState.DEPRECATED] and st.button(
            "Deprecate …", icon=":material/schedule:", key="deprecate"
        ):
            _ask(release, ReleaseState.DEPRECATED)
        if release.state in DECIDED_FROM[ReleaseState.WITHDRAWN] and st.button(
            "Withdraw …", icon=":material/block:", key="withdraw"
        ):
            _ask(release, ReleaseState.WITHDRAWN)


def _ask(release: Release, after: ReleaseState) -> None:
    act = "Withdraw" if after is ReleaseState.WITHDRAWN else "Deprecate"
    title = f"{act} {release.image} {release.version}?"
    frame.ask(title, lambda: _decide(release, after, act))


def _decide(release: Release, after: ReleaseState, act: str) -> None:
    portal, user = session.portal(), session.user()
    names = (each.owner.display_name for each in images.who_runs(portal, user, release.id))
    theirs = Counter(map(wording.literal, names))
    count = theirs.total()
    whose = f" ({', '.join(theirs)})" if theirs else ""
    others = [
        other
        for other in images.all_releases(portal, user)
        if other.image == release.image
        and other.state is ReleaseState.APPROVED
        and other.id != release.id
    ]
    if release.state is ReleaseState.APPROVED and not others:
        st.warning(
            f"Nobody can deploy {release.image} afterwards, until another release is approved.",
            icon=":material/warning:",
        )
    if after is ReleaseState.WITHDRAWN:
        st.markdown(
            f"Nobody will be able to start {release.image} {release.version} again. This cannot be"
            f" undone. Containers using it: {count}{whose}. Running ones keep running but cannot be"
            " started again; the owners see your reason."
        )
    else:
        st.markdown(
            f"**{release.image} {release.version}** will no longer be offered. Containers using it:"
            f" {count}{whose}. They keep running and can start again; the owners see your reason."
            " To undo this, approve it again."
        )
    example = (
        "CVE-2026-1234 in OpenSSL; use 1.2.0"
        if after is ReleaseState.WITHDRAWN
        else "1.2.0 has the new PyTorch; this one gets no more updates"
    )
    reason = st.text_input("Reason", max_chars=500, key="reason", placeholder=example)
    decide = images.withdraw if after is ReleaseState.WITHDRAWN else images.deprecate
    if frame.confirmed(f"{act} release", "decide", loses=after is ReleaseState.WITHDRAWN):
        done = "Withdrawn." if after is ReleaseState.WITHDRAWN else "Deprecated."
        frame.carry_out(lambda: decide(portal, session.user(), release.id, reason), done)


page()
