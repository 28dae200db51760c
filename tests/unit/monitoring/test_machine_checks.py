"""What the worker sees of its own machine."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pki
import pytest
from checks import machine
from portal.core.settings import Settings


def test_outside_of_a_container_there_is_nothing_to_see(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "SERVER_CERT", Path("/nowhere"))
    assert list(machine.checks(Settings())) == []


@pytest.mark.parametrize(
    ("days", "state", "says"),
    [(-1, "critical", "expired on"), (10, "warning", "in 9 days"), (400, "ok", "good until")],
)
def test_certificates_that_end(tmp_path: Path, days: int, state: str, says: str) -> None:
    certificate = pki.Authority("Test").root.certificate
    path = tmp_path / "server_cert"
    path.write_bytes(pki.pem(certificate))
    now = certificate.not_valid_after_utc - timedelta(days=days) + timedelta(seconds=1)
    [finding] = machine._certificates(path, "the server", now)
    assert finding.state == state
    assert says in finding.message


def test_a_file_that_is_no_certificate(tmp_path: Path) -> None:
    file = tmp_path / "server_cert"
    file.write_text("nonsense", encoding="utf-8")
    [finding] = machine._certificates(file, "the server", datetime.now(UTC))
    assert (finding.state, finding.section) == ("warning", "certificates")


@pytest.mark.parametrize(("used", "state"), [(50, "ok"), (85, "warning"), (95, "critical")])
def test_a_disk_that_fills(monkeypatch: pytest.MonkeyPatch, used: int, state: str) -> None:
    seen = SimpleNamespace(  # of which a tenth is kept for root
        f_blocks=110, f_frsize=2**30, f_bfree=110 - used, f_bavail=100 - used
    )
    monkeypatch.setattr(os, "statvfs", lambda _: seen)
    [finding] = machine._disk()
    assert finding.state == state
    assert f"{used} % full ({100 - used} GB free)" in finding.message


def test_a_service_that_answers_and_one_that_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        ports = {"127.0.0.1": server.getsockname()[1], "localhost": closed.getsockname()[1]}
        monkeypatch.setattr(machine, "SERVICES", ports)
        there, away = machine._services()
    assert (there.state, away.state) == ("ok", "critical")
    assert "docker compose up -d localhost" in away.next_step


def test_the_clock_is_asked_of_the_kernel() -> None:
    [finding] = machine._clock()
    assert finding.check == "clock"
