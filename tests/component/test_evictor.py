"""The evictor where the kernel ends no single connections for it: everybody's end, and in time."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import docker
import pytest
from builds import ROOT, build
from docker.models.containers import Container

IMAGE = "container-portal-proxy:dev"
HERE = "127.0.0.97"
"""Of this test alone."""
PORT, SPAN = 10000, "10000 10099"
AGAIN_S = 8


class Authz(ThreadingHTTPServer):
    """Stands in for authz: says what it is told to."""

    due = ""
    asked: list[str]


@pytest.fixture
def authz() -> Iterator[Authz]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(server.due.encode())

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = Authz((HERE, 8000), Handler)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def evictor(tmp_path: Path, authz: Authz) -> Iterator[Container]:
    """Without NET_ADMIN: it cannot end single ones, as on a kernel without INET_DIAG_DESTROY."""
    build(ROOT / "deployment/nginx", IMAGE)
    (tmp_path / "names").mkdir()
    (tmp_path / "names" / "authz").write_text(f"{HERE}\n")
    (tmp_path / "proxy_secret").write_text("only-nginx-knows")
    for path in (tmp_path, tmp_path / "names"):
        path.chmod(0o777)
    for path in (tmp_path / "proxy_secret", tmp_path / "names" / "authz"):
        path.chmod(0o644)
    container = docker.from_env().containers.run(
        IMAGE,
        entrypoint="evict",
        user="10002",
        network_mode="host",
        cap_drop=["ALL"],
        environment={"PORTAL_BIND": HERE, "EVERYBODY_AGAIN_S": str(AGAIN_S)},
        volumes={
            str(tmp_path / "names"): {"bind": "/run/names", "mode": "rw"},
            str(tmp_path / "proxy_secret"): {"bind": "/run/secrets/proxy_secret", "mode": "ro"},
        },
        detach=True,
    )
    yield container
    container.remove(force=True)


def ended(evictor: Container) -> list[str]:
    """What it says that it ended."""
    lines = [line for line in evictor.logs().decode().splitlines() if line.startswith("{")]
    said = [json.loads(line) for line in lines]
    return [each["ports"] for each in said if each.get("event") == "connections_ended"]


def wait_for(evictor: Container, count: int, limit_s: float = 30) -> list[str]:
    deadline = time.monotonic() + limit_s
    while len(ended(evictor)) < count:
        assert time.monotonic() < deadline, evictor.logs().decode()
        time.sleep(0.1)  # polling somebody else's progress
    return ended(evictor)


def test_who_is_to_go_while_everybody_just_went_goes_a_little_later(
    evictor: Container, authz: Authz, tmp_path: Path
) -> None:
    with (
        socket.create_server((HERE, PORT)),
        socket.create_connection((HERE, PORT)),
    ):
        deadline = time.monotonic() + 20
        while not authz.asked:
            assert time.monotonic() < deadline, evictor.logs().decode()
            time.sleep(0.1)  # polling a boot
        assert f"{PORT}@0" in authz.asked[0]  # it does not know since when
        authz.due = f"{SPAN}\n"
        assert wait_for(evictor, 1) == ["everybody's, for 10000-10099"]
        first = (tmp_path / "names" / "everybody").read_text()
        began = time.monotonic()
        authz.due = "10300 10399\n"  # another, whose cause is over before everybody may go again
        asked = len(authz.asked)
        while len(authz.asked) < asked + 2:
            time.sleep(0.1)
        authz.due = ""
        assert wait_for(evictor, 2)[1].startswith("everybody's, for")
        assert "10300-10399" in ended(evictor)[1]
        assert time.monotonic() - began > AGAIN_S / 2
        assert (tmp_path / "names" / "everybody").read_text() != first
