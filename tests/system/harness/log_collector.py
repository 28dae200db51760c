"""An organisation's log collector: rsyslog, RELP and TLS, in a container on this machine."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import builds
import docker
import pki
from docker.models.containers import Container

from harness import HARNESS

IMAGE, PORT = "container-portal-test-collector:dev", 2514
NAME = "log.corp.example"
"""In its certificate."""


@dataclass
class Collector:
    """Below `folder`: `tls`, with the portal's certificate for it, and `collected`."""

    box: Container
    folder: Path
    port: int

    @property
    def log(self) -> Path:
        """What it wrote."""
        return self.folder / "collected" / "audit.log"

    def lines(self) -> list[str]:
        """Of its log."""
        if not self.log.exists():
            return []
        return self.log.read_text(encoding="utf-8").splitlines(keepends=True)

    def has_more_than(self, lines: int) -> bool:
        """Whether so many and more have come."""
        return len(self.lines()) > lines

    def kill(self) -> None:
        """As a power cut would."""
        self.box.kill()
        self.box.wait()

    def start(self) -> None:
        """Once more, on the same port."""
        self.box.start()


@contextmanager
def collector(folder: Path) -> Iterator[Collector]:
    """It runs within."""
    builds.build(HARNESS / "collector", IMAGE)
    authority, tls = pki.Authority("Corp"), folder / "tls"
    tls.mkdir()
    (folder / "collected").mkdir()
    server = authority.server([NAME])
    client = authority.person("portal.corp.example", None)
    server.write(tls, "collector")
    client.write(tls, "portal")
    (tls / "collector.pem").write_bytes(pki.pem(server.certificate, authority.servers.certificate))
    (tls / "portal.pem").write_bytes(pki.pem(client.certificate, authority.issuing.certificate))
    (tls / "ca.pem").write_bytes(pki.pem(authority.root.certificate, authority.issuing.certificate))
    port = _free_port()
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
        yield Collector(box, folder, port)
    finally:
        box.remove(force=True)


def _free_port() -> int:
    """Kept when the container starts again, which a port of the engine's choice is not."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
