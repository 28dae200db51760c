"""A real SQLite database, a fake clock, one approved image, one VM, and three people."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from portal import db, deployments, users, vms
from portal.context import Portal
from portal.core.models import Deployment, Order, State, Vm
from portal.core.people import User
from portal.core.settings import Settings
from portal.db.connection import Database
from portal.jobs.claim import Work
from portal.jobs.start_stop import converge
from sqlalchemy.engine import make_url
from support.fakes import FakeClock, FakeEngine
from support.gpu_world import report, see
from support.samples import CATALOG, JANE, JOHN, TEST, approved

AROUND_A_DOWNLOAD = (State.PULLING, State.STARTING)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    secret = tmp_path / "proxy_secret"
    secret.write_text("only-nginx-knows\n")
    return Settings(
        database_url=f"sqlite:///{tmp_path}/portal.db", proxy_secret_file=secret, ready_timeout_s=1
    )


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database at the newest schema, to copy: migrating takes longer than most tests."""
    path = tmp_path_factory.mktemp("migrated") / "portal.db"
    records = Database(f"sqlite:///{path}")
    records.migrate()
    records.close()
    return path


@pytest.fixture
def portal(settings: Settings, clock: FakeClock, migrated: Path) -> Iterator[Portal]:
    shutil.copyfile(migrated, make_url(settings.database_url).database or "")
    records = Database(settings.database_url)
    product = Portal(settings, records, CATALOG, clock, lambda: None)
    approved(product)
    vms.add(product, TEST, "vm-01", "unix:///var/run/docker.sock", "10.0.0.1")
    yield product
    records.close()


@pytest.fixture
def jane(portal: Portal) -> User:
    return users.user_of(portal, JANE)


@pytest.fixture
def john(portal: Portal, jane: User) -> User:
    return users.user_of(portal, JOHN)


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def work_off(portal: Portal, engine: FakeEngine) -> Callable[[str], Deployment]:
    """Do what the worker would do for one deployment, and give back what came of it."""

    def run(deployment_id: str, ready: bool = True) -> Deployment:
        while True:
            work = Work.claim(portal, deployment_id)
            if work:
                converge(work, engine, lambda vm, port: ready, lambda release: None)
            with portal.database.reading() as tx:
                deployment = db.deployments.by_id(tx, deployment_id)
            assert deployment
            # Before and after a download the claim is given up.
            if work is None or deployment.trouble or deployment.state not in AROUND_A_DOWNLOAD:
                return deployment

    return run


@pytest.fixture
def gpu_vm(portal: Portal) -> Vm:
    """vm-01 with two GPUs and 64 GB."""
    with portal.database.transaction() as tx:
        db.vms.update(tx, 1, cpus=16, memory_gb=64)
    return see(portal, report())


@pytest.fixture
def running(portal: Portal, jane: User, work_off: Callable[..., Deployment]) -> Deployment:
    """Jane's first container, which runs."""
    return work_off(deployments.request(portal, jane, Order("ml-cpu", "first")).id)
