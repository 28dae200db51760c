"""Tests inside the container, started exactly as the portal starts it."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable
from typing import Any

import docker
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from docker.types import DeviceRequest
from engine.container import create_arguments
from portal.core.engine import ContainerSpec
from portal.core.errors import PortalError
from portal.core.resources import GIB
from portal.deployments.container_spec import HOME, TMP, environment
from pydantic import BaseModel

from publishing import leftovers
from publishing.probe import Probe
from publishing.workspace import Refused, Workspace

NOTEBOOK = "/usr/local/bin/notebook-python"
PYTHON = ("python", "pip")
TOOLS = ("git", "gcc", "g++", "make", "curl", "less", "vim", "nano", "tmux", "rsync", "unzip")
PINNED = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)", re.MULTILINE)
NO_GPU = "not tested: the build engine has no GPU"


class Tests(BaseModel):
    """What was tested, and what each said."""

    content: str
    passed: dict[str, str]
    seen: dict[str, str]
    """The packages of the card, as notebooks see them: a base may have other copies of them."""


def run(workspace: Workspace) -> Tests:
    """Every check. Raises Refused at the first that fails. Leaves nothing behind."""
    image_id, token, key = workspace.id, secrets.token_urlsafe(16), Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    name = f"publish-test-{secrets.token_hex(4)}"
    spec = _spec(name, image_id, token, public)
    passed, seen = {}, {}
    for left in leftovers.remove(workspace.engine):
        workspace.say(f"{left} was left by a publisher that was killed; removed")
    container = None
    try:
        container = workspace.engine.containers.create(**create_arguments(spec))
        container.start()
        private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
        probe = Probe(workspace, container, token, private)
        for title, check in CHECKS.items():
            passed[title] = check(probe)
            workspace.say(f"  {title}: {passed[title]}")
        seen = _seen(probe)
        passed["GPU"] = _gpu(workspace, spec)
        workspace.say(f"  GPU: {passed['GPU']}")
    finally:
        if container is not None:
            container.remove(force=True, v=True)
        _drop_volume(workspace, name)
    return Tests(content=workspace.content, passed=passed, seen=seen)


def _spec(name: str, image: str, token: str, keys: str) -> ContainerSpec:
    return ContainerSpec(
        name=name,
        image=image,
        labels=leftovers.label(),
        environment=environment(token, gpus=False, ssh_keys=keys),
        publish={},
        volumes={name: HOME},
        tmpfs={},
        scratch={TMP: 10 * GIB},
        memory_bytes=4 * GIB,
        shm_bytes=GIB,
        cpus=2,
        pids=1024,
        hostname="test",
    )


def _answers(probe: Probe) -> str:
    ask = (
        "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8888/api',"
        " timeout=2).read().decode())"
    )
    version = json.loads(probe.until(ask, "Jupyter does not answer"))["version"]
    probe.python(
        "import urllib.request as u, urllib.error as e\nasked ="
        " u.Request('http://127.0.0.1:8888/api/status', headers={'Authorization': 'token"
        f" {probe.token}'}})\nu.urlopen(asked, timeout=5)\ntry:"
        " u.urlopen('http://127.0.0.1:8888/api/status', timeout=5)\nexcept e.HTTPError as refused:"
        " assert refused.code == 403, refused.code\nelse: raise SystemExit('Jupyter answers"
        " without the token')"
    )
    return f"Jupyter Server {version} answers, with the token only"


def _tensorboard(probe: Probe) -> str:
    probe.until(
        "import urllib.request as u; assert b'<title>TensorBoard</title>' in"
        " u.urlopen('http://127.0.0.1:6006/', timeout=60).read()",
        "TensorBoard does not answer",
    )
    return "answers on 6006"


def _versions(probe: Probe) -> str:
    """What notebooks import is what the lock says; what the base brings is only named."""
    wanted, seen = list(probe.workspace.image.packages), _seen(probe)
    if not seen:
        raise Refused(
            "test_failed",
            f"None of {', '.join(wanted)} is in the image.",
            "Fix image.yaml or the lock.",
        )
    suffix = f"-{probe.workspace.build.variant}" if probe.workspace.build.variant else ""
    lock = probe.workspace.folder / f"requirements{suffix}.txt"
    allowed: dict[str, set[str]] = {}
    for name, version in PINNED.findall(lock.read_text(encoding="utf-8")):
        allowed.setdefault(name.lower().replace("_", "-"), set()).add(version)
    from_base = _of_the_base(probe)
    for name, version in seen.items():
        if name not in from_base and version not in allowed.get(name, {version}):
            raise Refused(
                "test_failed",
                f"{name} is {version}, the lock says {sorted(allowed[name])}.",
                "Lock again.",
            )
    return ", ".join(
        f"{n} {v}" + (" (base)" if n in from_base else "") for n, v in sorted(seen.items())
    )


def _seen(probe: Probe) -> dict[str, str]:
    wanted = probe.workspace.image.packages
    return {
        name: version
        for name, version in _distributions(probe, "m.distributions()").items()
        if name in wanted
    }


def _of_the_base(probe: Probe) -> set[str]:
    """Distributions of the base's own Python, which come before the lock's."""
    paths = probe.run(
        "sh", "-c", "grep -v ^/opt/ /opt/kernel/lib/python3*/site-packages/_image.pth || true"
    ).split()
    return set(_distributions(probe, f"m.distributions(path={paths!r})")) if paths else set()


def _distributions(probe: Probe, which: str) -> dict[str, str]:
    """Name → version, as notebooks see them: the first on the path counts."""
    versions: dict[str, str] = json.loads(
        probe.python(
            f"import importlib.metadata as m, json\nfound = {{}}\nfor d in {which}:\n   "
            " found.setdefault((d.metadata['Name'] or '').lower().replace('_', '-'),"
            " d.version)\nprint(json.dumps(found))",
            NOTEBOOK,
        )
    )
    return versions


def _notebook(probe: Probe) -> str:
    cells: list[dict[str, Any]] = [
        {
            "cell_type": "code",
            "metadata": {},
            "outputs": [],
            "execution_count": None,
            "source": probe.workspace.image.example,
        }
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    book = json.dumps({"nbformat": 4, "nbformat_minor": 4, "metadata": kernel, "cells": cells})
    probe.python(f"open('/tmp/example.ipynb', 'w').write({book!r})")
    probe.run(
        "/opt/venv/bin/jupyter",
        "nbconvert",
        "--to",
        "notebook",
        "--execute",
        "--log-level=ERROR",
        "/tmp/example.ipynb",
        "--output",
        "/tmp/done.ipynb",
    )
    output = probe.python(
        "import json; c = json.load(open('/tmp/done.ipynb'))['cells'][0]\nprint(''.join(t for o in"
        " c['outputs'] if o.get('name') == 'stdout' for t in o['text']).strip())"
    )
    if not output:
        raise Refused(
            "test_failed",
            "The example notebook ran and printed nothing.",
            "Fix example in image.yaml.",
        )
    return output.splitlines()[-1]


def _ssh(probe: Probe) -> str:
    probe.python(f"import os; os.umask(0o077); open('/tmp/key', 'w').write({probe.key!r})")
    probe.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/tmp/other")
    options = (
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "LogLevel=ERROR",
        "BatchMode=yes",
        "IdentitiesOnly=yes",
    )
    ssh = "ssh " + " ".join(f"-o {option}" for option in options)
    probe.until(
        "import socket; assert socket.create_connection(('127.0.0.1', 22), 2).recv(4) == b'SSH-'",
        "no sshd",
    )
    output = probe.run(
        "sh",
        "-c",
        f"{ssh} -i /tmp/key scientist@127.0.0.1 'python -c \"import sys; print(sys.prefix)\"'",
    )
    if not output.startswith(HOME):
        raise Refused(
            "test_failed", f"An SSH session gets Python from {output}.", "Fix serve-ssh.sh."
        )
    probe.run("sh", "-c", f"! {ssh} -i /tmp/other scientist@127.0.0.1 true 2>/dev/null")
    return "the owner's key opens it, another is refused"


def _shell(probe: Probe) -> str:
    """A login shell has the tools and the notebooks' Python; what is compiled in /tmp runs."""
    found = probe.run("bash", "-lc", f"command -v python pip {' '.join(TOOLS)}").split()
    if found[:2] != [f"{probe.run('sh', '-c', 'echo $NOTEBOOK_ENV')}/bin/{n}" for n in PYTHON]:
        raise Refused("test_failed", f"A login shell has {found[:2]}.", "Fix profile.sh.")
    probe.run(
        "bash",
        "-c",
        "cd /tmp && echo 'int two(void) { return 2; }' > two.c && gcc -shared -o two.so two.c &&"
        " python -c 'import ctypes; assert ctypes.CDLL(\"/tmp/two.so\").two() == 2'",
    )
    return f"{len(found)} tools; what is compiled in /tmp runs"


def _hardening(probe: Probe) -> str:
    probe.run(
        "sh",
        "-c",
        'test "$(id -u)" -ne 0 && ! touch /usr/x 2>/dev/null && ! touch /opt/venv/x 2>/dev/null '
        "&& touch ~/x && touch /tmp/x && grep -q '^CapEff:.0*$' /proc/self/status",
    )
    if not (probe.workspace.built()["Config"].get("Healthcheck") or {}).get("Test"):
        raise Refused("test_failed", "The image has no HEALTHCHECK.", "Add one to the Dockerfile.")
    return "not root, no capabilities, read-only root, home and /tmp can be written"


def _gpu(workspace: Workspace, spec: ContainerSpec) -> str:
    """The framework sees a GPU, where the engine has one."""
    if not workspace.image.gpu_check:
        return "none wanted"
    info = workspace.engine.info()
    if "nvidia" not in info.get("Runtimes", {}) and not info.get("CDISpecDirs"):
        return NO_GPU
    wanted = DeviceRequest(count=-1, capabilities=[["gpu"]])
    arguments = create_arguments(spec) | {
        "name": f"{spec.name}-gpu",
        "device_requests": [wanted],
        "environment": {},
    }
    container = None
    try:
        container = workspace.engine.containers.create(**arguments)
        container.start()
        return (
            Probe(workspace, container, "", "").python(
                workspace.image.gpu_check, "/opt/kernel/bin/python"
            )
            or "seen"
        )
    except docker.errors.APIError as error:
        return f"{NO_GPU} ({str(error.explanation)[:80]})"
    finally:
        if container is not None:
            container.remove(force=True, v=True)


def _drop_volume(workspace: Workspace, name: str) -> None:
    try:
        workspace.engine.volumes.get(name).remove(force=True)
    except (docker.errors.APIError, PortalError):
        return


CHECKS: dict[str, Callable[[Probe], str]] = {
    "Jupyter": _answers,
    "TensorBoard": _tensorboard,
    "versions": _versions,
    "notebook": _notebook,
    "shell": _shell,
    "SSH": _ssh,
    "hardening": _hardening,
}
