"""An upgrade from an older schema keeps the records, and running containers their place."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from portal import db
from portal.core.models import State
from portal.db.connection import Database

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OLD_ROWS = [
    "INSERT INTO users VALUES (1, 'edipi:1', 'Jane', 'user', 0, '2026-01-01')",
    (
        "INSERT INTO vms VALUES (1, 'vm-01', 'ssh://p@vm', '10.0.0.1', "
        "NULL, 'active', 1, NULL, 8, 32.0, NULL)"
    ),
    (
        "INSERT INTO releases VALUES (1, 'ml-cpu', '1', 'r/m@sha256:0', "
        "'sha256:0', 1, 'approved', 0, '2026-01-01')"
    ),
    *(
        "INSERT INTO deployments (id, name, state, owner_id, vm_id, release_id, slot, gpus,"
        " memory_gb, cpus, jupyter_token, restart_after_stop, created_at, updated_at, started_at)"
        f" VALUES ('{name}', '{name}', '{state}', 1, 1, 1, {slot}, 0, 4.0, 1.0, 't', 0,"
        " '2026-01-01', '2026-01-01', '2026-01-01')"
        for slot, (name, state) in enumerate([("runs", "running"), ("rests", "stopped")])
    ),
    (
        "INSERT INTO leases (kind, resource, deployment_id, acquired_at) VALUES ('port', '10000',"
        " 'runs', '2026-01-01')"
    ),
]


@pytest.fixture
def old(tmp_path: Path) -> str:
    """A database of the first schema, with a container that runs and one that is stopped."""
    url = f"sqlite:///{tmp_path}/old.db"
    config = Config()
    config.set_main_option("script_location", str(Path(db.__file__).parent / "migrations"))
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    with engine.begin() as connection:
        for statement in OLD_ROWS:
            connection.exec_driver_sql(statement)
    engine.dispose()
    return url


def test_records_and_what_runs_survive_the_newest_schema(old: str) -> None:
    records = Database(old)
    records.migrate()
    records.migrate()  # and once more changes nothing
    with records.reading() as tx:
        kept = {deployment.id: deployment for deployment in db.deployments.of_user(tx, 1)}
        leases = {(row["kind"], row["deployment_id"]) for row in db.leases.live(tx)}
        assert db.leases.memory_by_vm(tx) == {1: 4.0}
        assert db.releases.approved(tx)["ml-cpu"].version == "1"
        assert tx.execute(sa.text("PRAGMA foreign_key_check")).all() == []
    assert (kept["runs"].state, kept["rests"].state) == (State.RUNNING, State.STOPPED)
    assert kept["runs"].vm is not None and kept["runs"].vm.pool == "shared"
    assert leases == {("port", "runs"), ("compute", "runs")}
    records.close()
