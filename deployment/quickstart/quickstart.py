"""Two steps of the quick start (streamlit-service/docker-compose.yml), each in a container."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pki
from demo_secrets import DemoSecrets

OUT = Path("/out")
GETS = {
    "proxy": ("client_ca", "proxy_secret", "server_cert", "server_key"),
    "pages": ("client_ca", "proxy_secret"),
    "worker": (
        "client_ca",
        "proxy_secret",
        "server_cert",
        "registry_password",
        "registry_ca",
        "cosign.pub",
        "ssh_key",
        "ssh_known_hosts",
    ),
    "registry": ("registry_password", "server_cert", "server_key"),
    "publisher": (
        "client_ca",
        "proxy_secret",
        "registry_password",
        "registry_ca",
        "cosign.pub",
        "cosign.key",
        "cosign_password",
    ),
}


def make_demo_secrets() -> None:
    """All of it in one folder, for `make demo`."""
    system = DemoSecrets(OUT, tuple(os.environ["PORTAL_SERVER_NAMES"].split()))
    new = system.make()
    _signing_key(system)
    print("new" if new else "kept")


def make_secrets() -> None:
    """Make a demonstration CA and all secrets, each service's in its own volume."""
    server_names = (os.environ["PORTAL_PUBLIC_HOST"], "localhost", "127.0.0.1", "registry")
    system = DemoSecrets(OUT / "home", server_names)
    new = system.make()
    _signing_key(system)
    for service, names in GETS.items():
        for name in names:
            _hand_over(system.home / "secrets" / name, OUT / service / name, 0o444)
    people = OUT / "people"
    owner = people.stat()
    for path in system.certs.iterdir():
        if path.stem != "server":
            _hand_over(path, people / path.name, 0o600)
            os.chown(people / path.name, owner.st_uid, owner.st_gid)  # whose checkout it is
    print(
        "Made a demonstration CA and certificates."
        if new
        else "The existing certificates are kept."
    )


def _signing_key(system: DemoSecrets) -> None:
    """Cosign's key pair, by cosign itself; kept when it exists."""
    if (system.home / "secrets" / "cosign.pub").exists():
        return
    password = secrets.token_urlsafe(24)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["cosign", "generate-key-pair"],
            cwd=folder,
            env={**os.environ, "COSIGN_PASSWORD": password},
            check=True,
            capture_output=True,
        )
        system.write_secret("cosign_password", password.encode())
        for name in ("cosign.key", "cosign.pub"):
            system.write_secret(name, (Path(folder) / name).read_bytes())


def _hand_over(source: Path, target: Path, mode: int) -> None:
    if not target.exists() or target.read_bytes() != source.read_bytes():
        shutil.copyfile(source, target)
        target.chmod(mode)


def first_image() -> None:
    """Add this machine's engine as the first VM and publish ml-cpu by the real pipeline.

    Again, it changes nothing.
    """
    _admin(
        "vm",
        "add",
        "this-machine",
        "--engine",
        "unix:///var/run/docker.sock",
        "--address",
        os.environ["PORTAL_GATEWAY"],
    )
    print(
        "Publishing ml-cpu: build, tests, scan, signature. The first time takes some minutes.",
        flush=True,
    )
    _admin("image", "publish", "ml-cpu", "--approve")
    # After publishing: the service's packages are in this image, not on every machine.
    from portal.core.settings import Settings  # noqa: PLC0415

    print(NEXT.format(url=Settings().public_origin, password=pki.P12_PASSWORD), flush=True)


def _admin(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "/srv/portal/admin.py", *arguments], cwd="/srv/portal", check=False
    )
    if done.returncode:
        raise SystemExit(
            f"error: {' '.join(arguments)} failed; its output is above. "
            "Try again: docker compose up -d"
        )


NEXT = """
The portal is at {url}

  1. Import quickstart/jane.p12 (password: {password}) into your browser, and trust
     quickstart/ca.crt for websites.
  2. Open {url} and choose the certificate DOE.JANE.Q.1234567890.
  3. Press Deploy, and Open JupyterLab.

john.p12, mei.p12 (curator of images) and admin.p12 are other people.
"""

if __name__ == "__main__":
    {"secrets": make_secrets, "demo": make_demo_secrets, "first-image": first_image}[sys.argv[1]]()
