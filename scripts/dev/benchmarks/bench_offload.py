"""Bench of the off-load: events at a real collector (rsyslog, RELP, TLS), against hashing alone."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from harness import log_collector
from offload.sender import Sender
from portal import db
from portal.context import Portal
from portal.core.offload import OffloadSettings
from portal.core.settings import Settings
from portal.db.connection import Database
from rows import Row, Sizes, row

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
    folder.chmod(0o755)
    tls = folder / "tls"
    with log_collector.collector(folder) as made:
        yield OffloadSettings(
            to=f"127.0.0.1:{made.port}",
            name=log_collector.NAME,
            ca_file=tls / "ca.pem",
            cert_file=tls / "portal.pem",
            key_file=tls / "portal.key",
            cursor_file=folder / "cursor",
        )
