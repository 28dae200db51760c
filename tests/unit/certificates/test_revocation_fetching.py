"""Revocation lists are fetched from authorities, and health checks name what is missing."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pki
import pytest
from checks import authorities
from cli import crl
from cryptography import x509
from portal.core.settings import Settings
from typer.testing import CliRunner


class Distribution(HTTPServer):
    """An authority's web server."""

    body = b""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert isinstance(self.server, Distribution)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.server.body)

        def log_message(self, *args: object) -> None:
            """Quiet."""


@pytest.fixture
def web() -> Iterator[Distribution]:
    with Distribution(("127.0.0.1", 0), Distribution.Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def configured(
    folder: Path,
    tmp_path: Path,
    authority: pki.Authority,
    web: Distribution,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    ca, secret = tmp_path / "client_ca", tmp_path / "proxy_secret"
    ca.write_bytes(authority.bundle)
    secret.write_text("x")
    for name, value in {
        "PORTAL_CLIENT_CA_FILE": ca,
        "PORTAL_PROXY_SECRET_FILE": secret,
        "PORTAL_CRL_DIR": folder,
        "PORTAL_REVOCATION": "strict",
        "PORTAL_CRL_URLS": f"http://127.0.0.1:{web.server_port}/people.crl",
    }.items():
        monkeypatch.setenv(name, str(value))
    return folder


def test_new_lists_are_fetched_and_a_bad_one_replaces_nothing(
    configured: Path, web: Distribution, authority: pki.Authority, jane: x509.Certificate
) -> None:
    run = CliRunner().invoke
    web.body = authority.revocation_list(jane)
    done = run(crl.app, ["fetch"])
    assert (done.exit_code, "1 revoked, valid until" in done.output) == (0, True), done.output
    web.body = b"<html>Please sign in</html>"
    done = run(crl.app, ["fetch"])
    assert (done.exit_code, "the existing list is kept" in done.output) == (
        1,
        True,
    ), done.output
    assert "1 revoked" in run(crl.app, ["list"]).output
    assert [path.name for path in configured.iterdir()] == [
        crl.file_name(os.environ["PORTAL_CRL_URLS"])
    ]


def test_an_older_list_from_somebody_on_the_way_replaces_nothing(
    configured: Path, web: Distribution, authority: pki.Authority, jane: x509.Certificate
) -> None:
    run = CliRunner().invoke
    web.body = authority.revocation_list(jane)
    assert run(crl.app, ["fetch"]).exit_code == 0
    web.body = authority.revocation_list(starts=timedelta(days=-1))
    done = run(crl.app, ["fetch"])
    assert (done.exit_code, "it is older" in done.output) == (1, True), done.output
    assert "1 revoked" in run(crl.app, ["list"]).output


def test_an_address_that_does_not_answer_is_said(
    configured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTAL_CRL_URLS", "http://127.0.0.1:9/people.crl")
    done = CliRunner().invoke(crl.app, ["fetch"])
    assert (done.exit_code, "refused" in done.output) == (1, True), done.output


@pytest.mark.parametrize(
    ("content", "state", "says"),
    [
        (None, "critical", "There is no revocation list"),
        (lambda own: own.revocation_list(days=1, starts=timedelta(days=-2)), "critical", "expired"),
        (
            lambda own: own.revocation_list(days=100, starts=timedelta(days=-95)),
            "warning",
            "no newer one came",
        ),
        (lambda own: own.revocation_list(), "ok", "valid until"),
    ],
)
def test_the_health_check_names_lists_that_are_missing_or_end(
    configured: Path,
    authority: pki.Authority,
    content: Callable[[pki.Authority], bytes] | None,
    state: str,
    says: str,
) -> None:
    if content:
        (configured / "people.crl").write_bytes(content(authority))
    [finding] = authorities.revocation_of(Settings())
    assert (finding.state, says in finding.message, "Test ID CA-1" in finding.message) == (
        state,
        True,
        True,
    ), finding
