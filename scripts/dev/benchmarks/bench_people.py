"""Bench of a large portal: 100,000 people, every port taken, a long past; against a small one."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from portal import deployments, users
from portal.context import Portal
from portal.core import ports
from portal.core.models import State
from portal.core.people import Identity, User
from portal.core.settings import Settings
from portal.db import leases, people_schema, schema
from portal.db.connection import Database
from portal.deployments import gateway
from portal.scheduling import admission
from rows import Row, Sizes, row, timed

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
RANGES, SLOTS = 555, 9
"""People with ports of their own, and containers that each of them runs."""
FEW = 100
AT_ONCE = 10_000


def benchmarks(sizes: Sizes) -> dict[str, Callable[[], Row]]:
    """The rows, by name; the peer is the same question to a portal of a hundred people."""
    return {
        "people": lambda: _compare(sizes, "a decision of the gateway", _route, "<= 1.10", "us"),
        "people, list": lambda: _compare(sizes, "My containers' list", _list, "<= 1.10", "ms"),
        "people, look": lambda: _compare(sizes, "a round of the worker", _turn, "<= 1.10", "ms"),
    }


def _compare(
    sizes: Sizes, what: str, ask: Callable[[Portal, User], object], aim: str, unit: str
) -> Row:
    with _portal(sizes.people) as (many, jane), _portal(FEW) as (few, john):
        measured, peer = [], []
        for _ in range(sizes.calls):
            measured.append(timed(lambda: ask(many, jane)))
            peer.append(timed(lambda: ask(few, john)))
    return row(f"{what}, {sizes.people} people / {FEW}", measured, peer, aim, unit)


def _route(portal: Portal, user: User) -> object:
    identity = Identity(user.subject, "X", "X", "1", None, "", NOW)
    return gateway.route(portal, identity, gateway.Door(ports.port_of(0, 0, ports.Service.JUPYTER)))


def _list(portal: Portal, user: User) -> object:
    return deployments.mine(portal, user)


def _turn(portal: Portal, _: User) -> object:
    with portal.database.reading() as tx:
        return admission.decisions(portal, tx)


@contextmanager
def _portal(people: int) -> Iterator[tuple[Portal, User]]:
    """So many people; the first of them run what their ports allow; as many containers are gone."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/bench.db"
        database = Database(url)
        database.migrate()
        portal = Portal(
            Settings(database_url=url, user_ports="10000-65499"),
            database,
            {},
            lambda: NOW,
            lambda: None,
        )
        fill(database, people)
        first = Identity("edipi:1000000000", "X", "X", "1000000000", None, "", NOW)
        yield portal, users.user_of(portal, first)
        database.close()


def fill(database: Database, people: int) -> None:
    """Rows as years of use leave them, straight into the tables."""
    running = min(people, RANGES)
    insert(
        database,
        people_schema.users,
        (
            {
                "subject": f"edipi:{1_000_000_000 + n}",
                "display_name": f"Person {n}",
                "role": "user",
                "range_index": n if n < running else None,
                "created_at": NOW,
            }
            for n in range(people)
        ),
    )
    insert(database, schema.vms, [vm()])
    insert(database, schema.releases, [release()])
    live = [(n, slot) for n in range(running) for slot in range(SLOTS)]
    insert(database, schema.deployments, (deployment(n, f"{n}-{slot}", slot) for n, slot in live))
    gone = (deployment(n, f"gone-{n}", None) for n in range(people))
    insert(database, schema.deployments, gone)
    insert(database, schema.leases, (each for n, slot in live for each in _leases(n, slot)))


def insert(database: Database, table: sa.Table, rows: Any) -> None:
    """Many rows at once."""
    many = list(rows)
    with database.transaction() as tx:
        for start in range(0, len(many), AT_ONCE):
            tx.execute(table.insert(), many[start : start + AT_ONCE])


def vm() -> dict[str, Any]:
    """A VM's row."""
    return {
        "name": "vm-0",
        "engine_url": "ssh://p@x",
        "address": "10.0.0.1",
        "state": "active",
        "reachable": True,
        "cpus": 64,
        "memory_gb": 512.0,
    }


def release() -> dict[str, Any]:
    """An approved release's row."""
    return {
        "image": "ml-cpu",
        "version": "1",
        "reference": "r/ml-cpu@sha256:0",
        "digest": "sha256:0",
        "size_bytes": 1,
        "state": "approved",
        "standin": False,
        "created_at": NOW,
    }


def deployment(owner: int, key: str, slot: int | None) -> dict[str, Any]:
    """The row of a container that runs; one that is gone, without a slot."""
    live = slot is not None
    return {
        "id": key,
        "name": key,
        "state": State.RUNNING if live else State.REMOVED,
        "owner_id": owner + 1,
        "vm_id": 1,
        "release_id": 1,
        "slot": slot,
        "gpus": 0,
        "memory_gb": 0.1,
        "cpus": 0.01,
        "jupyter_token": "t",
        "restart_after_stop": False,
        "created_at": NOW,
        "updated_at": NOW,
        "started_at": NOW,
        "last_activity_at": NOW,
    }


def _leases(owner: int, slot: int) -> Iterator[dict[str, Any]]:
    key = f"{owner}-{slot}"
    held = {"deployment_id": key, "acquired_at": NOW - timedelta(days=1), "released_at": None}
    for number in ports.slot_ports(owner, slot).values():
        yield {"kind": leases.PORT, "resource": str(number), **held}
    yield {"kind": leases.COMPUTE, "resource": key, **held}
