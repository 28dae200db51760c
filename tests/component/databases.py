"""The two databases of the portal, for races: SQLite in a file, PostgreSQL in a container."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import builds
import docker
from builds import ROOT
from docker.models.containers import Container
from portal.core.errors import DatabaseTrouble
from portal.db.connection import Database

IMAGE = "container-portal-postgres:dev"
PASSWORD = "only-for-tests"
BOOT_S = 60
DATA, BIN = "/var/lib/postgresql/data", "/usr/lib/postgresql/17/bin"


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """The URL of an empty database of Debian's PostgreSQL; gone afterwards."""
    with postgresql_in(folder) as (url, _):
        yield url


@contextmanager
def postgresql_in(folder: Path, **options: Any) -> Iterator[tuple[str, Container]]:
    """The same with its container; `options` are Docker's."""
    container = _run(folder, ports={"5432/tcp": ("127.0.0.1", 0)}, **options)
    try:
        container.reload()
        port = container.attrs["NetworkSettings"]["Ports"]["5432/tcp"][0]["HostPort"]
        url = f"postgresql+psycopg://portal:{PASSWORD}@127.0.0.1:{port}/portal"
        _wait_for(url)
        yield url, container
    finally:
        container.remove(force=True, v=True)


@contextmanager
def standby(folder: Path, network: str, primary: Container) -> Iterator[tuple[str, Container]]:
    """Its port on this machine, and one that follows another, which lets it."""
    told = "echo 'host replication all all scram-sha-256' >> $0/pg_hba.conf"
    assert primary.exec_run(["sh", "-c", told, f"{DATA}/17"])[0] == 0
    sql(primary, "SELECT pg_reload_conf()")
    primary.reload()
    at = primary.attrs["NetworkSettings"]["Networks"][network]["IPAddress"]
    copy = f"--host={at} --username=portal --wal-method=stream --checkpoint=fast"
    follow = [
        f"export PGDATA={DATA}/17 PATH={BIN}:$PATH PGPASSWORD={PASSWORD}",
        f"pg_basebackup --pgdata=$PGDATA --write-recovery-conf {copy}",
        "exec postgres -c listen_addresses='*' -c unix_socket_directories=/tmp",
    ]
    command = ["bash", "-c", " && ".join(follow)]
    ports = {"5432/tcp": ("127.0.0.1", 0)}
    container = _run(folder, network=network, ports=ports, entrypoint=command)
    try:
        container.reload()
        yield container.attrs["NetworkSettings"]["Ports"]["5432/tcp"][0]["HostPort"], container
    finally:
        container.remove(force=True, v=True)


def sql(container: Container, statement: str, database: str = "postgres") -> str:
    """What a PostgreSQL answers; "" while it does not."""
    psql = f"{BIN}/psql --host=/tmp --username=portal --tuples-only --no-align"
    code, said = container.exec_run([*psql.split(), "--command", statement, database])
    assert isinstance(said, bytes)
    return said.decode().strip() if code == 0 else ""


def database_on(network: str, folder: Path) -> Container:
    """One that listens on a Docker network."""
    container = _run(folder, network=network)
    deadline = time.monotonic() + BOOT_S
    while container.exec_run(["bash", "-c", "</dev/tcp/127.0.0.1/5432"])[0]:
        assert time.monotonic() < deadline, container.logs()
        time.sleep(0.2)  # polling a boot
    container.reload()
    return container


def _run(folder: Path, **options: Any) -> Container:
    builds.build(ROOT / "deployment" / "postgres", IMAGE)
    secret = folder / "postgres_password"
    secret.write_text(PASSWORD)
    secret.chmod(0o444)
    folder.chmod(0o755)
    mounts = {str(secret): {"bind": "/run/secrets/postgres_password", "mode": "ro"}}
    return docker.from_env().containers.run(IMAGE, detach=True, volumes=mounts, **options)


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + BOOT_S
    while True:
        database = Database(url)
        try:
            database.migrate()
            return
        except DatabaseTrouble:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)  # polling a boot
        finally:
            database.close()
