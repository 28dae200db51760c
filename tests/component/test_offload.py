"""The audit trail at a real collector (rsyslog, RELP, TLS): whoever is killed, each event once."""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pki
import pytest
from harness import log_collector
from harness.log_collector import Collector
from portal import db
from portal.db.connection import Database

SERVICE = Path(__file__).resolve().parents[2] / "streamlit-service"
VERIFY: dict[str, Any] = runpy.run_path(str(SERVICE.parent / "scripts" / "verify-audit.py"))
WAIT_S = 30
KILLS = 3


@dataclass
class Trail:
    """A portal's database, and the sender, a process of its own, as the service runs it."""

    folder: Path
    port: int
    records: Database
    sender: subprocess.Popen[bytes] | None = field(default=None)

    def add(self, count: int) -> None:
        with self.records.transaction() as tx:
            for number in range(count):
                at, about = datetime.now(UTC), f"vm:vm-{number}"
                db.audit.append(tx, at, "worker", "vm.added", about, note="Größe " * 20)

    def head(self) -> int:
        with self.records.reading() as tx:
            return db.audit.head(tx)[0]

    def start(self) -> None:
        tls = self.folder / "tls"
        secret = self.folder / "proxy_secret"
        secret.write_text("only-nginx-knows")
        environment = {
            "PATH": os.environ["PATH"],
            "PORTAL_DATABASE_URL": f"sqlite:///{self.folder}/portal.db",
            "PORTAL_PROXY_SECRET_FILE": str(secret),
            "PORTAL_IMAGES_DIR": str(SERVICE.parent / "images"),
            "PORTAL_OFFLOAD_TO": f"127.0.0.1:{self.port}",
            "PORTAL_OFFLOAD_NAME": log_collector.NAME,
            "PORTAL_OFFLOAD_CA_FILE": str(tls / "ca.pem"),
            "PORTAL_OFFLOAD_CERT_FILE": str(tls / "portal.pem"),
            "PORTAL_OFFLOAD_KEY_FILE": str(tls / "portal.key"),
            "PORTAL_OFFLOAD_CURSOR_FILE": str(self.folder / "cursor"),
        }
        command = [sys.executable, "admin.py", "audit", "offload"]
        log = (self.folder / "sender.log").open("ab")
        self.sender = subprocess.Popen(command, cwd=SERVICE, env=environment, stderr=log)

    def end(self, how: signal.Signals) -> None:
        assert self.sender
        self.sender.send_signal(how)
        self.sender.wait(timeout=WAIT_S)


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    with log_collector.collector(tmp_path) as made:
        yield made


@pytest.fixture
def trail(tmp_path: Path, collector: Collector) -> Iterator[Trail]:
    records = Database(f"sqlite:///{tmp_path}/portal.db")
    records.migrate()
    trail = Trail(tmp_path, collector.port, records)
    yield trail
    if trail.sender and trail.sender.poll() is None:
        trail.end(signal.SIGKILL)
    print((tmp_path / "sender.log").read_text()[-4000:])
    records.close()


def until(done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not done():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)  # polling another process


def verdict(collector: Collector) -> str:
    return str(VERIFY["verify"](str(collector.log)))


def test_whoever_is_killed_each_event_arrives_once_and_in_order(
    trail: Trail, collector: Collector
) -> None:
    trail.add(2000)
    trail.start()
    until(lambda: len(collector.lines()) > 200, "events arrive")
    for _ in range(KILLS):  # in the middle of it
        collector.kill()
        trail.add(500)
        collector.start()
        until(partial(collector.has_more_than, len(collector.lines())), "they go on")
        trail.add(500)
        trail.end(signal.SIGKILL)
        trail.start()
    until(lambda: len(collector.lines()) >= trail.head(), "all arrive")
    said, whole = verdict(collector), f"{trail.head()} events, 1 to {trail.head()}"
    # Between a write and its answer is a moment: what the collector is killed in comes again.
    again = [f"{whole}, last hash", *(f"{whole}, {n} of them twice" for n in range(1, KILLS + 1))]
    assert said.startswith(tuple(again)), said


def test_what_happens_while_the_collector_is_away_arrives_later_and_health_tells(
    trail: Trail, collector: Collector
) -> None:
    def problem() -> str:
        with trail.records.reading() as tx:
            row = db.audit.offload(tx)
        return row[2] if row else "none yet"

    trail.add(10)
    trail.start()
    until(lambda: problem() == "", "it is connected")
    collector.kill()
    trail.add(10)
    until(lambda: problem() not in ("", "none yet"), "it says why not")
    trail.end(signal.SIGTERM)
    trail.add(10)
    collector.start()
    trail.start()
    until(lambda: len(collector.lines()) >= trail.head(), "all arrive")
    until(lambda: problem() == "", "it is well again")
    assert "twice" not in verdict(collector)


def test_a_line_that_is_deleted_or_changed_at_the_collector_is_found(
    trail: Trail, collector: Collector
) -> None:
    trail.add(20)
    trail.start()
    until(lambda: len(collector.lines()) >= trail.head(), "all arrive")
    trail.end(signal.SIGTERM)
    whole, copy = collector.lines(), collector.folder / "copy"
    assert whole[0].startswith("<110>1 ")
    for tampered in (
        whole[:7] + whole[8:],
        [*whole[:7], whole[7].replace("vm-", "vn-"), *whole[8:]],
        [*whole[:7], whole[8], whole[7], *whole[9:]],
    ):
        copy.write_text("".join(tampered), encoding="utf-8")
        with pytest.raises(VERIFY["Broken"], match=r"event (8|9)"):
            VERIFY["verify"](str(copy))


def test_a_collector_that_is_another_gets_nothing(trail: Trail, collector: Collector) -> None:
    (trail.folder / "tls" / "ca.pem").write_bytes(pki.pem(pki.Authority("Other").root.certificate))
    trail.add(5)
    trail.start()
    until(
        lambda: b"CERTIFICATE_VERIFY_FAILED" in (trail.folder / "sender.log").read_bytes(),
        "it is refused",
    )
    assert collector.lines() == []
