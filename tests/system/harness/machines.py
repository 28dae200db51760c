"""Machines fresh from their installer: systemd, sshd, an administrator with sudo, no Docker."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import builds
import pki
from builds import ROOT
from docker.models.containers import Container
from stack import Stack

from harness.fleet import boot

SETUP = ROOT / "scripts" / "setup-vm.sh"
BOOT_S = 60.0
BASES = {"debian-12": "debian:bookworm-slim", "debian-13": "debian:trixie-slim"}


Kind = Literal["fresh", "installed"]
"""A target of machine/Dockerfile."""


def build_image(release: str, kind: Kind = "fresh") -> str:
    """A machine's image, for one of BASES; returns its name."""
    image, base = f"container-portal-test-machine:{release}-{kind}", BASES[release]
    builds.ensure_images(base)
    folder = Path(__file__).parent / "machine"
    builds.build(folder, image, "--build-arg", f"BASE_IMAGE={base}", "--target", kind)
    return image


@dataclass
class Machine:
    """One machine."""

    name: str
    address: str
    container: Container

    def run(self, script: str, *, check: bool = True) -> str:
        """Run a shell script on it as root, and return what it said.

        RuntimeError with it when it fails.
        """
        code, raw = self.container.exec_run(["bash", "-c", script])
        output = bytes(raw).decode(errors="replace") if isinstance(raw, bytes) else ""
        if code and check:
            raise RuntimeError(f"{self.name}: {script}: exit {code}: {output}")
        return output

    def copy(self, source: Path, folder: str) -> None:
        """A file or folder of the project onto it."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            archive.add(source, source.name)
        self.container.put_archive(folder, buffer.getvalue())

    def power_cycle(self) -> None:
        """The plug is pulled and put in again.

        Returns when SSH and, where it is there, the engine answer.
        """
        self.container.kill()
        self.container.start()
        self.wait()

    def wait(self) -> None:
        """Until it is up as far as it gets. TimeoutError with its journal when it does not."""
        deadline = time.monotonic() + BOOT_S
        engine = "! command -v dockerd || ! systemctl is-enabled -q docker || docker info"
        up = f"systemctl is-active --quiet ssh && {{ {engine}; }}"
        while self.container.exec_run(["bash", "-c", f"({up}) >/dev/null 2>&1"])[0]:
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{self.name}: {self.run('journalctl --no-pager | tail -60', check=False)}"
                )
            time.sleep(0.2)  # polling a boot


@dataclass
class Machines:
    """The machines of one session, and setup-vm.sh run on them as an administrator would."""

    stack: Stack
    machines: dict[str, Machine] = field(default_factory=dict)

    def add(self, release: str, host: int, *, kind: Kind = "fresh") -> Machine:
        """Boot a machine of BASES, at the address that ends in `host`."""
        image = build_image(release, kind)
        name, address = f"vm-{release}", f"{self.stack.subnet}.{host}"
        container = boot(
            f"--name={self.stack.project}-{name}",
            f"--hostname={name}",
            f"--network={self.stack.project}_portal",
            f"--ip={address}",
            f"--network-alias={name}",
            f"--env=ADMIN_KEY={self._key()}",
            "--tmpfs=/run",
            "--tmpfs=/tmp:exec",
            image=image,
        )
        machine = self.machines[name] = Machine(name, address, container)
        machine.wait()
        host_key = machine.run("cat /etc/ssh/ssh_host_ed25519_key.pub").split()
        with (self._folder / "known_hosts").open("a") as known:
            known.write(f"{address} {host_key[0]} {host_key[1]}\n")
        return machine

    def command(self, *arguments: str) -> list[str]:
        """setup-vm.sh with these arguments."""
        return [str(SETUP), "--login", "ray", *arguments]

    def environment(self, **settings: str) -> dict[str, str]:
        """What an administrator sets: the portal's addresses, ways to machines and admin.py."""
        return {
            **self.stack.variables(),
            "PORTAL_SSH": f"ssh -F {self._config()}",
            "PORTAL_ADMIN": "docker compose exec -T api python3 admin.py",
            "PORTAL_GATEWAYS": " ".join(self.stack.addresses("proxy", "worker", "ssh-door")),
            "PORTAL_EGRESS_DENY": f"{self.stack.subnet}.0/24",
            "PORTAL_VM_MIN_DISK_GB": "2",
            **settings,
        }

    def setup(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run setup-vm.sh to its end; what it said is standard output and error in one."""
        return subprocess.run(
            self.command(*arguments),
            env=self.environment(**settings),
            text=True,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=900,
        )

    def vms(self) -> list[dict[str, Any]]:
        """The fleet, as admin.py lists it."""
        vms: list[dict[str, Any]] = json.loads(self.stack.admin("vm", "list"))
        return vms

    def close(self) -> None:
        """Remove every machine from the fleet, and with its disk."""
        for machine in self.machines.values():
            self.stack.admin("vm", "remove", machine.name, "--if-there")
            machine.container.remove(force=True, v=True)

    @property
    def _folder(self) -> Path:
        folder = self.stack.home / "machines"
        folder.mkdir(exist_ok=True)
        return folder

    def _key(self) -> str:
        """The administrator's public key."""
        private = self._folder / "ray"
        if not private.exists():
            secret, public = pki.ssh_key_pair()
            private.write_bytes(secret)
            private.chmod(0o600)
            (self._folder / "ray.pub").write_bytes(public)
        return (self._folder / "ray.pub").read_text().strip()

    def _config(self) -> Path:
        config = self._folder / "config"
        config.write_text(
            f"Host *\n  IdentityFile {self._folder}/ray\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {self._folder}/known_hosts\n  LogLevel ERROR\n"
        )
        return config
