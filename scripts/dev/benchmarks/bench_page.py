"""How long the server needs for one run of My containers: real database, no browser."""

from __future__ import annotations

import logging
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

from app_pages.parts import session
from builds import ROOT
from portal import db, deployments, images, users, vms
from portal.context import Portal
from portal.core import catalog
from portal.core.models import Order, State
from portal.core.people import CommandLine, Identity
from portal.core.settings import Settings
from portal.db.connection import Database
from portal.images import Candidate
from portal.images.report import Report
from streamlit.testing.v1 import AppTest

CONTAINERS = 5
NO_BROWSER = "streamlit.runtime.scriptrunner_utils.script_run_context"
"""The logger that warns at every run that there is no browser."""


def run(rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of each run: with five containers, and of an empty script (Streamlit's own cost)."""
    logging.getLogger(NO_BROWSER).disabled = True
    with tempfile.TemporaryDirectory() as folder:
        portal = _portal(Path(folder))
        jane = users.user_of(
            portal, Identity("edipi:1", "J.1", "Jane", "1", None, "", datetime.now(UTC))
        )
        for number in range(CONTAINERS):
            made = deployments.request(portal, jane, Order("ml-cpu", f"c{number}"))
            with portal.database.transaction() as tx:
                db.deployments.update(tx, made.id, state=State.RUNNING, started_at=portal.now())
        empty = AppTest.from_string("import streamlit as st\nst.write('x')", default_timeout=20)
        with (
            patch.object(session, "_wired", lambda: (portal, None, None)),
            patch.object(session, "sign_in", lambda: remember(jane)),
        ):
            full = AppTest.from_file(str(ROOT / "streamlit-service" / "app.py"), default_timeout=20)
            result = times(full, rounds), times(empty, rounds)
        portal.database.close()
    return result


def remember(user: object) -> object:
    """Sign somebody in, in the session of this run."""
    import streamlit as st  # noqa: PLC0415 - the others run without Streamlit

    st.session_state["user"] = user
    return user


def times(page: AppTest, rounds: int) -> list[float]:
    """Seconds of each run, after a first one."""
    page.run()
    assert not page.exception, page.exception
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        page.run()
        times.append(time.perf_counter() - started)
    return times


def _portal(folder: Path) -> Portal:
    settings = Settings(database_url=f"sqlite:///{folder}/bench.db", approval_by_another=False)
    records = Database(settings.database_url)
    records.migrate()
    described = catalog.read(ROOT / "images" / "ml-cpu" / "image.yaml")
    portal = Portal(
        settings, records, {"ml-cpu": described}, lambda: datetime.now(UTC), lambda: None
    )
    report = Report(image="ml-cpu", scanned_at=portal.now(), scanners=(), findings=())
    made = images.register(
        portal,
        CommandLine("bench"),
        Candidate(
            "ml-cpu", "1.0.0", "r/ml-cpu@sha256:" + "0" * 64, 1, 1, False, portal.now(), {}, report
        ),
    )
    images.approve(portal, CommandLine("bench"), made.id)
    vms.add(portal, CommandLine("bench"), "vm", "unix:///none", "10.0.0.1")
    return portal
