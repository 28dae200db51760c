"""Health: what health-check.sh finds, for people without a shell."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
import wording
from portal.core.health import Finding
from portal.monitoring import looks

from app_pages.parts import errors, session, tables

LOOK_AGAIN_S = 10.0
WORDS = {"critical": "Broken", "warning": "Needs attention"}
ABOUT = {
    "database": "Database",
    "backup": "Backups",
    "vm": "VMs",
    "worker": "Worker",
    "gpu": "GPUs",
    "image": "Images",
    "certificate": "Certificates",
    "revocation": "Revocation",
    "registry": "Registry",
    "services": "Services",
    "disk": "Disk",
    "clock": "Clock",
    "ranges": "Ports",
    "directory": "Directory",
}
"""Of checks whose names are no words for people."""


@st.fragment(run_every=LOOK_AGAIN_S)
@errors.told
def page() -> None:
    """The page, updated in place."""
    st.subheader("Health")
    health = looks.last(session.portal(), session.user())
    now = session.portal().now()
    seen = wording.ago(health.at, now) if health.at else "never"
    if not health.wrong:
        st.success("Everything that is looked at is well.", icon=":material/check_circle:")
    for finding in health.wrong:
        _wrong(finding)
    _well([each for each in health.findings if each.state == "ok"])
    st.caption(
        f"The worker looked {seen}, and does once a minute. What only the portal's own machine"
        " shows (its engine, its kernel, secrets that were replaced) is told by"
        " `scripts/health-check.sh` there."
    )


def _wrong(finding: Finding) -> None:
    """What is wrong, since when, the command, and where to read more."""
    now = session.portal().now()
    say = st.error if finding.state == "critical" else st.warning
    since = f" · first seen {wording.ago(finding.since, now)}" if finding.since else ""
    icon = ":material/error:" if finding.state == "critical" else ":material/warning:"
    with st.container(key=f"finding-{finding.check}-{abs(hash(finding))}"):
        say(
            f"**{wording.literal(finding.message)}**  \n:small[{WORDS[finding.state]}{since}]",
            icon=icon,
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            if finding.next_step:
                st.code(finding.next_step, language=None, width="stretch", wrap_lines=True)
            if finding.section:
                address = f"/guide?of=TROUBLESHOOTING#{finding.section}"
                st.link_button("Read more", address, icon=":material/menu_book:")


def _well(findings: Sequence[Finding]) -> None:
    if not findings:
        return
    with st.expander(
        f"What is well ({len(findings)})", icon=":material/check_circle:", expanded=True
    ):
        tables.draw(
            [
                {
                    "About": ABOUT.get(each.check, each.check.capitalize()),
                    "What": each.message,
                }
                for each in findings
            ],
            key="well",
        )


page()
