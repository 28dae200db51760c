"""Bench of sampling: what the worker uses to see what a fleet's containers use."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import docker
from bench_people import deployment, insert, release, vm
from builds import ROOT
from docker_manager import DockerEngine
from portal import db
from portal.context import Portal
from portal.core.engine import Statistics
from portal.core.models import Vm
from portal.core.settings import Settings
from portal.db import people_schema, schema
from portal.db.connection import Database
from portal.jobs.homes import Homes
from portal.jobs.sampling import Sampler
from rows import Row, Sizes, row

VMS, CONTAINERS_EACH = 50, 20
IMAGE = "container-portal-registry:dev"
"""Any that is there and stays."""


def benchmarks(sizes: Sizes) -> dict[str, Callable[[], Row]]:
    """The row, by name."""
    return {"sampling": lambda: _sampling(sizes)}


class _Asked(DockerEngine):
    """A real engine, which is asked for one container in place of a fleet's thousand.

    It reads each container once a second; what it said is said again, since a round asks 50 times.
    """

    container = ""
    said: Statistics | None = None

    def statistics(self, container_id: str) -> Statistics | None:
        """Of the one container; `container_id` is that of another's."""
        return self.said or super().statistics(self.container or container_id)


def _sampling(sizes: Sizes) -> Row:
    """Processor time of one round, every VM asked once, and its share of writing the minute."""
    shares = []
    with _fleet() as (portal, fleet), _engine(fleet[0]) as engine:
        sampler, every_s = Sampler(portal, Homes()), portal.settings.observe_interval_s
        asks = min(_cpu_s(lambda: engine.statistics("")) for _ in range(sizes.rounds))
        engine.said = engine.statistics("")
        for _ in range(2 * CONTAINERS_EACH):  # each container twice: its figures are there
            _round(portal, sampler, fleet, engine)
        for _ in range(sizes.rounds):
            round_s = _cpu_s(lambda: _round(portal, sampler, fleet, engine))
            shares.append((round_s + VMS * asks) / every_s)
    what = f"share of a core to sample {VMS * CONTAINERS_EACH} containers / one core"
    return row(what, shares, [1.0], "<= 0.05", "")


def _cpu_s(act: Callable[[], object]) -> float:
    begun = time.process_time()
    act()
    return time.process_time() - begun


def _round(portal: Portal, sampler: Sampler, fleet: list[Vm], engine: DockerEngine) -> None:
    for each in fleet:
        sampler.sample(portal, each, engine)
    sampler.write()


@contextmanager
def _engine(some: Vm) -> Iterator[_Asked]:
    engine = _Asked(replace(some, engine_url="unix:///var/run/docker.sock"), Settings())
    container = docker.from_env().containers.run(
        IMAGE, ["600"], entrypoint="sleep", detach=True, name="portal-bench-sampled"
    )
    try:
        engine.container = str(container.id)
        yield engine
    finally:
        container.remove(force=True)
        engine.close()


@contextmanager
def _fleet() -> Iterator[tuple[Portal, list[Vm]]]:
    """VMs that run what they can, in a database of their own."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/bench.db"
        database = Database(url)
        database.migrate()
        settings = Settings(database_url=url, images_dir=ROOT / "images")
        portal = Portal(settings, database, {}, lambda: datetime.now(UTC), lambda: None)
        insert(database, people_schema.users, [_person()])
        insert(database, schema.vms, ({**vm(), "name": f"vm-{n}"} for n in range(VMS)))
        insert(database, schema.releases, [release()])
        insert(
            database,
            schema.deployments,
            (
                {**deployment(0, f"{n}-{slot}", slot), "vm_id": n + 1}
                for n in range(VMS)
                for slot in range(CONTAINERS_EACH)
            ),
        )
        with database.reading() as tx:
            fleet = db.vms.all_vms(tx)
        yield portal, fleet
        database.close()


def _person() -> dict[str, object]:
    now = datetime.now(UTC)
    return {"subject": "edipi:1", "display_name": "P", "role": "user", "created_at": now}
