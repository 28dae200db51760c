"""Bench of the off-load: events at a real collector (rsyslog, RELP, TLS), against hashing alone."""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import builds
import docker
import pki
from offload.sender import Sender
from portal import db
from portal.context import Portal
from portal.core.offload import OffloadSettings
from portal.core.settings import Settings
from portal.db.connection import Database
from rows import Row, Sizes, row

IMAGE, PORT = "container-portal-test-collector:dev", 2514
HARNESS = builds.ROOT / "tests" / "system" / "harness"
NAME = "log.corp.example"
READY_S = 30


def benchmarks(sizes: Sizes) -> dict[str, Callable[[], Row]]:
    """The rows, by name."""
    return {"audit, off-load": lambda: _offload(max(100, sizes.events // 100))}


def _offload(events: int) -> Row:
    """From the database into the collector's file, one answer after the other."""
    with tempfile.TemporaryDirectory() as name, _collector(Path(name)) as config:
        folder = Path(name)
        records = Database(f"sqlite:///{folder}/portal.db")
        records.migrate()
        settings = Settings(database_url=f"sqlite:///{folder}/portal.db")
        portal = Portal(settings, records, {}, lambda: datetime.now(UTC), lambda: None)
        with records.transaction() as tx:
            began = time.perf_counter()
            for number in range(events):
                at = datetime.now(UTC)
                db.audit.append(tx, at, "worker", "vm.added", f"vm:vm-{number}", note="x" * 80)
            written = time.perf_counter() - began
        sender = Sender(portal, config)
        thread = threading.Thread(target=sender.run)
        began = time.perf_counter()
        thread.start()
        log = folder / "collected" / "audit.log"
        while not log.exists() or log.read_bytes().count(b"\n") < events:
            if time.perf_counter() - began > READY_S + events / 500:
                raise RuntimeError("the collector has not all of them")
            time.sleep(0.01)
        sent = time.perf_counter() - began
        sender.stop()
        thread.join()
        records.close()
    what = f"{events:,} audit events at the collector / written"
    return row(what, [sent], [written], f"< {events / 1000:g} s")


@contextmanager
def _collector(folder: Path) -> Iterator[OffloadSettings]:
    builds.build(HARNESS / "collector", IMAGE)
    folder.chmod(0o755)
    for name in ("tls", "collected"):
        (folder / name).mkdir()
    tls, authority = folder / "tls", pki.Authority("Corp")
    server, client = authority.server([NAME]), authority.person("portal.corp.example", None)
    server.write(tls, "collector")
    client.write(tls, "portal")
    (tls / "collector.pem").write_bytes(pki.pem(server.certificate, authority.servers.certificate))
    (tls / "portal.pem").write_bytes(pki.pem(client.certificate, authority.issuing.certificate))
    (tls / "ca.pem").write_bytes(pki.pem(authority.root.certificate, authority.issuing.certificate))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    box = docker.from_env().containers.run(
        IMAGE,
        detach=True,
        volumes={
            str(tls): {"bind": "/tls", "mode": "ro"},
            str(folder / "collected"): {"bind": "/collected", "mode": "rw"},
        },
        ports={f"{PORT}/tcp": ("127.0.0.1", port)},
    )
    try:
        yield OffloadSettings(
            to=f"127.0.0.1:{port}",
            name=NAME,
            ca_file=tls / "ca.pem",
            cert_file=tls / "portal.pem",
            key_file=tls / "portal.key",
            cursor_file=folder / "cursor",
        )
    finally:
        box.remove(force=True)
