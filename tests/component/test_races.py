"""Everybody wants the last GPU at once: threads and processes, on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from databases import postgresql
from portal import audit, db, deployments, users, vms
from portal.context import Portal
from portal.core.engine import GpuReport, SeenGpu
from portal.core.errors import Forbidden, PortalError
from portal.core.models import Order, State
from portal.core.people import Origin
from portal.core.resources import Quota
from portal.core.settings import Settings
from portal.db.connection import Database
from portal.deployments import gateway
from portal.scheduling import admission, quotas
from portal.users import visits
from support.samples import CATALOG, TEST, approved, identity

PEOPLE, PROCESSES = 20, 4
GPUS = 3
LEFT = 1
"""GPUs that are free when the race for the last one begins."""


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("database")
    if request.param == "sqlite":
        yield f"sqlite:///{folder}/portal.db"
    else:
        with postgresql(folder) as address:
            yield address


def product(url: str) -> Portal:
    """The product on a database, as a process of its own would have it."""
    return Portal(
        Settings(database_url=url, user_ports="10000-65499"),
        Database(url),
        CATALOG,
        lambda: datetime.now(UTC),
        lambda: None,
    )


@pytest.fixture
def portal(url: str) -> Iterator[Portal]:
    """One VM with three GPUs; nobody holds any."""
    made = product(url)
    made.database.migrate()
    approved(made)
    vm = vms.add(made, TEST, "vm-race", "ssh://portal@vm-race", "10.0.0.9")
    gpus = tuple(SeenGpu(f"GPU-race-{n}", n, "A100", None, 40, 0, 0, 40) for n in range(GPUS))
    vms.record_gpus(made, vm, GpuReport(gpus, "535.1", "12.2", "nvidia"))
    yield made
    with made.database.reading() as tx:
        everybody = db.users.all_users(tx)
    for user in everybody:
        for deployment in deployments.mine(made, user):
            deployments.act(made, user, deployment.id, "remove")
            with made.database.transaction() as tx:
                db.deployments.update(tx, deployment.id, state=State.REMOVED, slot=None)
                db.leases.release(tx, deployment.id, made.now())
    made.database.close()


@pytest.fixture
def last_one(portal: Portal) -> None:
    """All GPUs but the last are somebody's."""
    early = users.user_of(portal, identity("6000000001", "Early Bird"))
    deployments.request(
        portal, early, Order("ml-cpu", "early", GPUS - LEFT, memory_gb=0.5, cpus=0.1)
    )


def want(url: str, first: int, count: int) -> None:
    """`count` people ask for a GPU at the same moment; also run as a process of its own."""
    made = product(url)
    people = [users.user_of(made, identity(f"{8_000_000_000 + first + n}")) for n in range(count)]
    start = threading.Barrier(count)

    def ask(number: int) -> None:
        start.wait()
        try:
            deployments.request(
                made, people[number], Order("ml-cpu", "request", 1, memory_gb=0.5, cpus=0.1)
            )
        except PortalError as refused:
            print("refused", refused.code)

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(ask, range(count)))
    made.database.close()


def check(portal: Portal, asked: int) -> None:
    """One gets the last GPU; everybody else is in the queue, each at a place of their own."""
    with portal.database.transaction() as tx:
        admission.advance(portal, tx)
    with portal.database.reading() as tx:
        held = db.leases.gpus(tx)
        starting = [
            deployment
            for deployment in db.deployments.live(tx)
            if deployment.state is State.PENDING
        ]
        waiting = db.deployments.waiting(tx)
        assert db.audit.verify(tx).broken_at is None
    assert len(held) == GPUS
    assert len([deployment for deployment in starting if deployment.name == "request"]) == LEFT
    assert {uuid: deployment.id for deployment in starting for uuid in deployment.gpu_uuids} == held
    assert sorted(deployment.position or 0 for deployment in waiting) == list(
        range(1, asked - LEFT + 1)
    )


def test_a_hundred_threads_want_the_last_gpu(portal: Portal, url: str, last_one: None) -> None:
    want(url, 0, 100)
    check(portal, 100)


def test_four_processes_want_the_last_gpu(portal: Portal, url: str, last_one: None) -> None:
    script, where = (
        f"import test_races; test_races.want({url!r}, ",
        {
            **os.environ,
            "PYTHONPATH": ":".join(sys.path),
        },
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", f"{script}{1000 + number * PEOPLE}, {PEOPLE})"],
            env=where,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for number in range(PROCESSES)
    ]
    for process in running:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert "refused" not in out, out
    check(portal, PEOPLE * PROCESSES)


def test_first_sights_and_quotas_at_the_same_moment_do_not_collide(portal: Portal) -> None:
    start = threading.Barrier(8)

    def arrive(number: int) -> int:
        start.wait()
        user = users.user_of(portal, identity(f"{5_000_000_000 + number}"))
        quotas.set_quota(portal, TEST, "default", "", Quota(gpus=9))
        ordered = deployments.request(portal, user, Order("ml-cpu", "mine", memory_gb=0.5))
        return ordered.owner.own_range

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(arrive, range(8)))) == 8
    quotas.set_quota(portal, TEST, "default", "", None)


def test_a_quota_is_never_exceeded_however_many_ask_at_once(portal: Portal) -> None:
    jane = users.user_of(portal, identity("7000000001", "Jane Q Doe"))
    quotas.set_quota(portal, TEST, "user", jane.subject, Quota(gpus=2))
    start = threading.Barrier(16)

    def ask(number: int) -> str:
        start.wait()
        try:
            deployments.request(
                portal, jane, Order("ml-cpu", f"n{number}", 1, memory_gb=0.5, cpus=0.1)
            )
        except PortalError as refused:
            return refused.code
        return "granted"

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(16)))
    assert sorted(answers) == ["granted"] * 2 + ["over_gpus"] * 14


def test_who_waits_is_served_once_however_many_look(portal: Portal) -> None:
    jane, john = (users.user_of(portal, identity(f"700000000{n}")) for n in (2, 3))
    held = deployments.request(portal, jane, Order("ml-cpu", "all", 2, memory_gb=0.5, cpus=0.1))
    waiting = deployments.request(
        portal, john, Order("ml-cpu", "later", 2, memory_gb=0.5, cpus=0.1)
    )
    assert waiting.state is State.WAITING
    with portal.database.transaction() as tx:
        db.leases.release(tx, held.id, portal.now(), db.leases.RUN)
        db.deployments.update(tx, held.id, state=State.STOPPED, gpu_uuids=None)

    def serve(_: int) -> list[str]:
        with portal.database.transaction() as tx:
            return [started.id for started in admission.advance(portal, tx).started]

    with ThreadPoolExecutor(8) as pool:
        started = [
            deployment_id for served in pool.map(serve, range(16)) for deployment_id in served
        ]
    assert started == [waiting.id]


def test_who_may_open_a_port_is_answered_again_after_the_database_ended_every_connection(
    portal: Portal,
) -> None:
    """The question that nginx waits for has a connection of its own, kept open."""
    asks = identity("5550000001")
    users.user_of(portal, asks)

    def answer() -> str:
        with pytest.raises(Forbidden) as refused:
            gateway.route(portal, asks, gateway.Door(65400))
        return refused.value.code

    assert answer() == "not_yours"
    with portal.database.transaction() as tx:
        if tx.dialect.name == "postgresql":
            others = "pid <> pg_backend_pid() AND datname = current_database()"
            tx.execute(
                sa.text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
            )
    assert answer() == "not_yours"


WRITERS, EACH = 50, 20


def test_fifty_writers_make_one_chain_and_one_event_of_each_visit(portal: Portal) -> None:
    """With visits that all of them see begin, checkpoints, and somebody who verifies meanwhile."""
    jane = users.user_of(portal, identity("6000000009", "Jane Busy"))
    card, desk = identity("6000000009", "Jane Busy"), Origin("192.0.2.7")
    with portal.database.reading() as tx:
        before, _ = db.audit.head(tx)

    def write(number: int) -> None:
        for _ in range(EACH):
            with portal.database.transaction() as tx:
                db.audit.append(tx, portal.now(), "worker", "vm.added", f"vm:vm-{number}")
        visits.note_portal(portal, jane, card, desk)

    with ThreadPoolExecutor(WRITERS) as writing:
        done = [writing.submit(write, number) for number in range(WRITERS)]
        seen = [audit.verify(portal, TEST).broken_at for _ in range(3)]
    for each in done:
        each.result()
    verdict = audit.verify(portal, TEST)
    assert (verdict.broken_at, seen) == (None, [None] * 3)
    with portal.database.reading() as tx:
        after, _ = db.audit.head(tx)
    assert after - before == WRITERS * EACH + 1  # and one visit
