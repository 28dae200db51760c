"""The real system from deployment/docker-compose.yml, for `make demo`, the tests and `make bench`."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copy2
from typing import Any

import docker
import pki

ROOT = Path(__file__).resolve().parents[2]
HOST_CAS = Path("/usr/local/share/ca-certificates")
STANDIN_LABEL = "org.container-portal.standin"
PEOPLE = {
    "jane": ("DOE.JANE.Q.1234567890", "1234567890@mil"),
    "john": ("ROE.JOHN.A.2345678901", "2345678901@mil"),
    "admin": ("RAY.ALEX.M.3456789012", "3456789012@mil"),
}
BUILD_STEP = re.compile(r"Step \d+/\d+|#\d+ \[")  # the classic builder's words, BuildKit's
TELL_EVERY_S = 10
PORT_TAKEN = re.compile(r"listen tcp4? [\d.]+:(\d+): bind|Bind for [\d.]+:(\d+) failed")
Say = Callable[[str], None]


class StackError(Exception):
    """A step of building or starting the system failed; the message holds what it printed."""


@dataclass
class Stack:
    """One running portal. `home` holds its certificates and secrets."""

    home: Path
    project: str
    host: str = "localhost"
    bind: str = "127.0.0.1"
    port: int = 8443
    registry_port: int = 5443
    registry_host: str = "127.0.0.1:5443"
    subnet: str = "172.30.99"
    environment: str = "demo"
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def certs(self) -> Path:
        """Certificates of people and of the server."""
        return self.home / "certs"

    @property
    def gateway(self) -> str:
        """The host's address on the portal's network: where this machine's engine publishes."""
        return f"{self.subnet}.1"

    @property
    def url(self) -> str:
        """The portal's address."""
        return f"https://{self.host}:{self.port}"

    def make_secrets(self) -> bool:
        """Authority, certificates and secrets; kept when they exist. True when they were made."""
        if (self.home / "secrets" / "complete").exists():
            return False
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = self.home / "secrets"
        for path in (self.certs, folder):
            path.mkdir(exist_ok=True)
        authority = pki.Authority("Container Portal Demo")
        server = authority.server([self.host, "localhost", "127.0.0.1", self.bind, "registry"])
        server.write(self.certs, "server")
        (self.certs / "ca.crt").write_bytes(pki.pem(authority.root.certificate))
        authority.save(self.home / "authority.pem")
        for name, (common_name, upn) in PEOPLE.items():
            pki.write_person(self.certs, name, authority.person(common_name, upn), authority)
        self._write_service_secrets(folder, authority, server)
        return True

    def authority(self) -> pki.Authority:
        """The authority that make_secrets() made, to issue more certificates."""
        return pki.Authority.load(self.home / "authority.pem")

    def _write_service_secrets(self, folder: Path, authority: pki.Authority, server: pki.Issued) -> None:
        chain = pki.pem(server.certificate, authority.servers.certificate)
        files = {
            "client_ca": authority.bundle,
            "proxy_secret": secrets.token_urlsafe(32).encode(),
            "registry_password": secrets.token_urlsafe(24).encode(),
            "server_cert": chain,
            "server_key": pki.key_pem(server.key),
            "ssh_known_hosts": b"",
        }
        for name, content in files.items():
            self.write_secret(name, content)
        private, public = pki.ssh_key_pair()
        self.write_secret("ssh_key", private)
        self.write_secret("ssh_key.pub", public)
        (folder / "complete").touch()

    def write_secret(self, name: str, content: bytes) -> None:
        """A secret file. Its folder is closed to others; the containers' users must be able to read the file."""
        path = self.home / "secrets" / name
        path.write_bytes(content)
        path.chmod(0o444)

    def compose(self, *arguments: str, capture: bool = False) -> str:
        """Run docker compose on this project. Raises StackError with its output."""
        command = ["docker", "compose", "-f", str(ROOT / "deployment" / "docker-compose.yml"), *arguments]
        pipe = subprocess.PIPE if capture else None
        done = subprocess.run(command, env=self._env(), text=True, stdout=pipe, stderr=pipe, check=False)
        if done.returncode:
            raise StackError(f"{' '.join(command)} failed: {done.stderr or ''}{done.stdout or ''}")
        return done.stdout or ""

    def admin(self, *arguments: str) -> str:
        """Run admin.py in the api container."""
        return self.compose("exec", "-T", "api", "python3", "admin.py", *arguments, capture=True)

    def up(self) -> None:
        """Start, or bring up to date; returns when every service is healthy. StackError names a port that is taken."""
        try:
            self.compose("up", "-d", "--wait", "--wait-timeout", "120", "--quiet-pull", capture=True)
        except StackError as error:
            taken = PORT_TAKEN.search(str(error))
            if taken is None:
                raise
            self.down()
            what = f"Port {taken[1] or taken[2]} on {self.bind} is in use by another program"
            raise StackError(f"{what}. End it (ss -ltnp shows it) and try again. The portal was stopped.") from error

    def down(self, *, volumes: bool = False) -> None:
        """Stop and remove the containers, and the data if asked."""
        self.compose("down", "--timeout", "5", *(["--volumes"] if volumes else []), capture=True)

    def _env(self) -> dict[str, str]:
        socket = Path("/var/run/docker.sock")
        return {
            **os.environ,
            "COMPOSE_PROJECT_NAME": self.project,
            "PORTAL_SECRETS": str(self.home / "secrets"),
            "PORTAL_PUBLIC_HOST": self.host,
            "PORTAL_PUBLIC_PORT": str(self.port),
            "PORTAL_BIND": self.bind,
            "PORTAL_REGISTRY_PORT": str(self.registry_port),
            "PORTAL_REGISTRY_HOST": self.registry_host,
            "PORTAL_SUBNET": f"{self.subnet}.0/24",
            "PORTAL_GATEWAY": self.gateway,
            "PORTAL_ENVIRONMENT": self.environment,
            "PORTAL_ENGINE_GID": str(socket.stat().st_gid if socket.exists() else 0),
            "PORTAL_ADMINS": "3456789012",
            **self.settings,
        }

    def push(self, image: str, tag: str) -> tuple[str, int]:
        """Push a local image to the registry. Returns (digest, size in bytes on disk)."""
        client = docker.from_env(timeout=300)
        name = f"127.0.0.1:{self.registry_port}/{image}"
        local = client.images.get(f"{image}:{tag}")
        local.tag(name, tag)
        digest = ""
        for line in client.api.push(name, tag, stream=True, decode=True, auth_config=self.registry_auth()):
            if "error" in line:
                raise StackError(f"push of {name}:{tag} failed: {line['error']}")
            digest = line.get("aux", {}).get("Digest", digest)
        client.images.remove(f"{name}:{tag}")
        return digest, int(local.attrs["Size"])

    def registry_auth(self) -> dict[str, str]:
        """The registry's credentials."""
        return {"username": "portal", "password": (self.home / "secrets" / "registry_password").read_text()}

    def publish(self, image: str, tag: str, as_image: str = "") -> str:
        """Push and approve, under another name of the catalogue if given. Returns the reference that engines pull."""
        name = as_image or image
        if as_image:
            docker.from_env().images.get(f"{image}:{tag}").tag(name, tag)
        digest, size = self.push(name, tag)
        reference = f"{self.registry_host}/{name}@{digest}"
        labels = image_labels(f"{image}:{tag}")
        standin = ["--standin"] if labels.get(STANDIN_LABEL) == "true" else []
        created = labels.get("org.opencontainers.image.created", "")
        self.admin("image", "approve", name, "--reference", reference, "--version", tag, "--size-bytes", str(size),
                   *(["--created", created] if created else []), *standin)  # fmt: skip
        return reference


def image_labels(reference: str) -> dict[str, str]:
    """Labels of a local image."""
    attrs: dict[str, Any] = docker.from_env().images.get(reference).attrs
    return dict(attrs["Config"].get("Labels") or {})


def build(context: Path, tag: str, *arguments: str) -> None:
    """docker build; every 10 s says at which step it is, and everything when it fails.

    The host's own CAs go along where the context has a place for them.
    """
    certs = context / "certs"
    if certs.is_dir() and HOST_CAS.is_dir():
        for certificate in HOST_CAS.glob("*.crt"):
            copy2(certificate, certs)
    environment = {**os.environ, "BUILDKIT_PROGRESS": "plain"}
    started, told, lines = time.monotonic(), time.monotonic(), []
    with subprocess.Popen(["docker", "build", "-t", tag, *arguments, str(context)], text=True, env=environment,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as running:  # fmt: skip
        assert running.stdout is not None
        step = ""
        for line in running.stdout:
            lines.append(line)
            step = line.strip() if BUILD_STEP.match(line) else step
            if time.monotonic() - told >= TELL_EVERY_S:
                told = time.monotonic()
                print(f"        {told - started:3.0f} s  {step[:90]}", flush=True)
    if running.returncode:
        raise StackError(f"building {tag} failed:\n{''.join(lines)[-4000:]}")


def build_services(say: Say) -> None:
    """The service image, the gateway and the registry."""
    for name, folder in (
        ("container-portal", "streamlit-service"),
        ("container-portal-proxy", "deployment/nginx"),
        ("container-portal-registry", "deployment/registry"),
    ):
        say(f"Building {name} ...")
        build(ROOT / folder, f"{name}:dev")


def build_image(name: str, tag: str, say: Say) -> None:
    """A curated image, marked when its base is a stand-in."""
    standin = image_labels("python:3.11-slim").get(STANDIN_LABEL) == "true"
    say(f"Building {name} {tag}{' on a STAND-IN base' if standin else ''} ...")
    build(ROOT / "images" / name, f"{name}:{tag}", "--build-arg", f"VERSION={tag}",
          "--build-arg", f"STANDIN={json.dumps(standin)}", "--build-arg", f"CREATED={_created(name)}")  # fmt: skip


def _created(name: str) -> str:
    """When the image's inputs last changed: the same inputs give the same layers, so a second run is quick."""
    command = ["git", "-C", str(ROOT), "log", "-1", "--format=%cI", "--", f"images/{name}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "1970-01-01T00:00:00+00:00"
