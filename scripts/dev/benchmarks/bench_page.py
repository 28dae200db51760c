"""How long the server needs for a person's page of containers: real database, no browser."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from board import Feed, board
from builds import ROOT
from portal import db, deployments, images, users, vms
from portal.context import Portal
from portal.core import catalog
from portal.core.figures import Figures
from portal.core.models import Order, State
from portal.core.people import CommandLine, Identity
from portal.core.settings import Settings
from portal.db.connection import Database
from portal.images import Candidate
from portal.images.report import Report
from streamlit.testing.v1 import AppTest

CONTAINERS = 10
NO_BROWSER = "streamlit.runtime.scriptrunner_utils.script_run_context"
"""The logger that warns at every run that there is no browser."""


def run(rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of each look at ten containers, and of each run of an empty script in Streamlit."""
    logging.getLogger(NO_BROWSER).disabled = True
    with tempfile.TemporaryDirectory() as folder:
        portal = _portal(Path(folder))
        jane = users.user_of(
            portal, Identity("edipi:1", "J.1", "Jane", "1", None, "", datetime.now(UTC))
        )
        for number in range(CONTAINERS):
            made = deployments.request(
                portal, jane, Order("ml-cpu", f"c{number}", memory_gb=1, cpus=1)
            )
            with portal.database.transaction() as tx:
                db.deployments.update(tx, made.id, state=State.RUNNING, started_at=portal.now())
                for minute in range(60):
                    at = portal.now() - timedelta(minutes=minute)
                    db.figures.put(tx, {made.id: Figures(at, 0.5, 1.0, 1.5)})
        empty = AppTest.from_string("import streamlit as st\nst.write('x')", default_timeout=20)
        look = lambda: Feed().tell(board(portal, jane))  # noqa: E731
        result = times(look, rounds), times(runs(empty), rounds)
        portal.database.close()
    return result


def times(work: Callable[[], object], rounds: int) -> list[float]:
    """Seconds of each time, after a first one."""
    work()
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return times


def runs(page: AppTest) -> Callable[[], object]:
    """Runs of a page's script, each of which must go well."""

    def run() -> None:
        page.run()
        assert not page.exception, page.exception

    return run


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
