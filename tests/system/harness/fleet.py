"""User VMs for tests: containers with sshd and a nested Docker Engine, on the portal's network."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import builds
import docker
from docker.models.containers import Container
from stack import Stack

from harness.people import wait_until

IMAGE = "container-portal-test-vm:dev"
PUBLIC_KEY = "/etc/ssh/ssh_host_ed25519_key.pub"
CDI_IMAGE = "container-portal-test-vm-cdi:dev"
GATE = builds.ROOT / "scripts" / "vm" / "portal-gate.sh"
BOOT_S = 40.0
START_ENGINE = (
    "rm -f /var/run/docker.pid /var/run/docker/containerd/containerd.pid;"
    " exec dockerd --storage-driver=overlay2 > /var/log/dockerd.log 2>&1"
)
# Where CAP_SYS_RESOURCE is lacking, --privileged fails; this is enough for a nested engine.
UNPRIVILEGED = (
    "--cap-add=ALL",
    "--cap-drop=SYS_RESOURCE",
    "--security-opt=seccomp=unconfined",
    "--cgroupns=private",
    "--security-opt=apparmor=unconfined",
    "--security-opt=systempaths=unconfined",
    "--device-cgroup-rule=a *:* rwm",
)


@dataclass
class TestVm:
    """One VM."""

    __test__ = False

    name: str
    container: Container

    @property
    def address(self) -> str:
        """Its address on the portal's network."""
        self.container.reload()
        networks = self.container.attrs["NetworkSettings"]["Networks"]
        return str(next(iter(networks.values()))["IPAddress"])

    @property
    def engine_url(self) -> str:
        """How the portal reaches its engine."""
        return f"ssh://portal@{self.name}"

    def run(self, *command: str) -> str:
        """Run a command in the VM and return its output. RuntimeError with it when it fails."""
        code, raw = self.container.exec_run(list(command))
        output = bytes(raw).decode() if isinstance(raw, bytes) else ""
        if code:
            raise RuntimeError(f"{self.name}: {' '.join(command)}: {output}")
        return output

    def wait_for_engine(self) -> None:
        """Until its engine answers. TimeoutError with the engine's log when it does not."""
        deadline = time.monotonic() + BOOT_S
        while self.container.exec_run(["docker", "info"])[0]:
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{self.name}: {self.run('tail', '-20', '/var/log/dockerd.log')}"
                )
            time.sleep(0.2)  # polling a boot, not waiting for luck

    def stop_engine(self) -> None:
        """The engine goes down; SSH stays."""
        self.run("pkill", "-x", "dockerd")
        deadline = time.monotonic() + BOOT_S
        while self.container.exec_run(["docker", "info"])[0] == 0:
            if time.monotonic() > deadline:
                raise TimeoutError("dockerd does not end")
            time.sleep(0.1)

    def start_engine(self) -> None:
        """And comes back."""
        self.container.exec_run(["sh", "-c", START_ENGINE], detach=True)
        self.wait_for_engine()

    def write(self, path: str, text: str) -> None:
        """Write a file in the VM; its folder must exist."""
        folder, _, name = path.rpartition("/")
        self.container.put_archive(folder, _tar(name, text.encode()))

    def stop_ssh(self) -> None:
        """SSH refuses and existing sessions end."""
        self.run("pkill", "-x", "sshd")

    def start_ssh(self) -> None:
        """And comes back."""
        self.run("/usr/sbin/sshd", "-E", "/var/log/sshd.log")


@dataclass
class Fleet:
    """The VMs of one test session."""

    stack: Stack
    vms: dict[str, TestVm] = field(default_factory=dict)

    def add(self, name: str, *options: str, image: str = IMAGE) -> TestVm:
        """Boot a VM, trust its host key, and give its engine the registry's CA."""
        key = (self.stack.home / "secrets" / "ssh_key.pub").read_text().strip()
        known = docker.from_env().containers.list(
            ignore_removed=True, filters={"name": f"^{self.stack.project}-{name}$"}
        )
        if known:  # from a run that kept its stack
            self.vms[name] = TestVm(name, known[0])
            return self.vms[name]
        container = boot(
            f"--name={self.stack.project}-{name}",
            f"--hostname={name}",
            f"--network={self.stack.project}_portal",
            f"--network-alias={name}",
            f"--env=PORTAL_PUBLIC_KEY={key}",
            "--init",
            *options,
            image=image,
        )
        vm = TestVm(name, container)
        self.vms[name] = vm
        vm.wait_for_engine()
        ca = (self.stack.certs / "ca.crt").read_bytes()
        vm.run("mkdir", "-p", "/etc/docker/certs.d/registry:5000")
        container.put_archive("/etc/docker/certs.d/registry:5000", _tar("ca.crt", ca))
        self._trust(vm)
        return vm

    def _trust(self, vm: TestVm) -> None:
        # Its engine may be there before its key is written.
        wait_until(lambda: vm.run("cat", PUBLIC_KEY).split()[1:], f"{vm.name} has no host key")
        public = vm.run("cat", PUBLIC_KEY).split()
        path = self.stack.home / "secrets" / "ssh_known_hosts"
        path.chmod(0o644)
        with path.open("a") as hosts:
            hosts.write(f"{vm.name} {public[0]} {public[1]}\n")

    def close(self) -> None:
        """Remove every VM with its disk."""
        for vm in self.vms.values():
            vm.container.remove(force=True, v=True)


def boot(*arguments: str, image: str) -> Container:
    """Start a VM, privileged where that is possible.

    The command line: the API library lacks two of these options.
    """
    for rights in (("--privileged",), UNPRIVILEGED):
        command = ["docker", "run", "--detach", *rights, *arguments, image]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return docker.from_env().containers.get(done.stdout.strip())
        name = next(a.removeprefix("--name=") for a in arguments if a.startswith("--name="))
        subprocess.run(
            ["docker", "rm", "--force", "--volumes", name], capture_output=True, check=False
        )
    raise RuntimeError(f"the VM could not be started: {done.stderr}")


def build_image() -> None:
    """The VM's image, with Debian 12's engine."""
    _build(IMAGE)


def build_cdi_image() -> None:
    """The same with Debian 13's engine, which knows CDI."""
    _build(CDI_IMAGE, "--build-arg", "ENGINE=trixie")


def _build(tag: str, *arguments: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(Path(__file__).parent / "vm", folder, dirs_exist_ok=True)
        shutil.copy2(GATE, folder)
        builds.build(Path(folder), tag, *arguments)


def _tar(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()
