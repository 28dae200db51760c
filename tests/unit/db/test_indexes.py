"""No question that is asked all the time reads a whole table that grows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from portal import db, deployments, vms
from portal.context import Portal
from portal.core.figures import Figures
from portal.core.models import Deployment, Order
from portal.core.people import User
from portal.deployments import gateway
from portal.jobs.leader import Leader
from portal.jobs.observe import observe
from portal.jobs.reconciler import Reconciler
from portal.monitoring import health
from portal.scheduling import quotas
from support.fakes import FakeEngine
from support.samples import JANE, TEST

GROW = (
    *("deployments", "leases", "audit_events", "reports", "recent_figures", "figures"),
    *("users", "certificates", "aliases"),
)
"""With every start and every person, as long as the portal lives."""
SCAN = re.compile(rf"^SCAN ({'|'.join(GROW)})\b(?! USING (?:COVERING )?INDEX one_live)")
"""The index of live leases holds only these: reading it whole is what is asked for."""
EVERYBODY = "WHERE users.merged_into IS NULL ORDER BY users.id"
"""What the Users page asks, which shows everybody."""


@pytest.fixture
def asked(portal: Portal) -> Iterator[dict[str, Any]]:
    """Statement → parameters, of everything that is asked of the database."""
    statements: dict[str, Any] = {}

    def note(_c: object, _k: object, statement: str, parameters: Any, *_: object) -> None:
        if statement.split(None, 1)[0] in ("SELECT", "UPDATE", "DELETE"):
            statements[statement] = parameters

    engine = portal.database._engine
    sa.event.listen(engine, "before_cursor_execute", note)
    yield statements
    sa.event.remove(engine, "before_cursor_execute", note)


def scans(portal: Portal, asked: dict[str, Any]) -> dict[str, list[str]]:
    """Statements whose plan reads a growing table from end to end."""
    found = {}
    with portal.database.reading() as tx:
        for statement, parameters in asked.copy().items():
            plan = tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            whole = [row.detail for row in plan if SCAN.match(row.detail)]
            if whole and not statement.endswith(EVERYBODY):
                found[statement] = whole
    return found


def test_deploying_acting_looking_and_opening_read_by_index(
    portal: Portal,
    jane: User,
    engine: FakeEngine,
    asked: dict[str, Any],
    work_off: Callable[..., Deployment],
) -> None:
    made = work_off(deployments.request(portal, jane, Order("ml-cpu", "first")).id)
    waits = deployments.request(portal, jane, Order("ml-cpu", "second", memory_gb=8))
    gateway.route(portal, JANE, gateway.Door(10000))
    deployments.preview(portal, jane, Order("ml-cpu", "third"))
    quotas.allowances(portal, jane)
    with portal.database.reading() as tx:
        vm = db.vms.by_name(tx, "vm-01")
    assert vm
    observe(portal, vm, engine)
    assert Leader(portal).renew()
    worker = Reconciler(portal, lambda vm: engine, lambda vm, port: True, lambda release: None)
    for job in worker.dispatch():
        job.result(10)
    with portal.database.transaction() as tx:
        db.deployments.renew(tx, {made.id: "a token"}, portal.now())
    deployments.history(portal, jane, made.id)
    deployments.overview(portal, jane)
    deployments.stamps(portal, [jane.id])
    quotas.everybody(portal, TEST)
    with portal.database.transaction() as tx:
        db.figures.put(tx, {made.id: Figures(portal.now(), 1.0, 1.0, 1.0)})
        db.figures.roll_up(tx, portal.now())
    vms.fleet(portal, TEST)
    list(health.of_records(portal))
    deployments.everybody(portal, TEST)
    deployments.stuck(portal, TEST)
    for each in (made, waits):
        deployments.act(portal, jane, each.id, "stop")
    work_off(made.id)
    deployments.act(portal, jane, made.id, "remove")
    assert len(asked) > 40
    assert scans(portal, asked) == {}
