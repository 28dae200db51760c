"""How the portal's machine reaches a VM: by its engine's address, and with commands to paste."""

from __future__ import annotations

import re
import shlex
from urllib.parse import urlsplit

from portal.core.models import Vm

SSH = "ssh"
SSH_PORT = 22
_PLAIN = re.compile(r"[\w ./:=@%+-]+", re.ASCII)
"""What a shell takes as it is."""


def is_remote(vm: Vm) -> bool:
    """Whether its engine is another machine's."""
    return urlsplit(vm.engine_url).scheme == SSH


def host(vm: Vm) -> str:
    """The host of its engine's address; the VM's name where that is this machine's own socket."""
    return urlsplit(vm.engine_url).hostname or vm.name


def same_door(engine_url: str, other: str) -> bool:
    """Whether two addresses lead to one engine, whatever the login."""
    return _door(engine_url) == _door(other)


def prepare(vm: Vm) -> str:
    """The command that prepares this VM once more, from the portal's machine."""
    if not is_remote(vm):
        return "sudo scripts/setup-vm.sh --local"
    port, where = _other_port(vm), host(vm)
    options = [f"--port {port}"] if port else []
    if where != vm.name:  # which is its name where none is given
        options.append(f"--name {vm.name}")
    return " ".join(["scripts/setup-vm.sh", *options, where])


def on(vm: Vm, command: str) -> str:
    """The command by which the portal's machine carries out another on the VM."""
    if not is_remote(vm):
        return command
    port = _other_port(vm)
    client = f"ssh -p {port}" if port else "ssh"
    whole = command if _PLAIN.fullmatch(command) else shlex.quote(command)
    return f"{client} {host(vm)} {whole}"


def _other_port(vm: Vm) -> int | None:
    """Of its SSH; None where it is the usual one."""
    port = urlsplit(vm.engine_url).port
    return None if port == SSH_PORT else port


def _door(engine_url: str) -> tuple[str | None, int, str]:
    url = urlsplit(engine_url)
    if url.scheme == SSH:
        return url.hostname, url.port or SSH_PORT, ""
    return None, 0, url.path.replace("/var/run/", "/run/", 1)  # a link (FHS 3.0, 3.15)
