"""Images of this machine's engine: bases, stand-ins for them, and the services' own.

Of the standard library alone, for `make demo`.
"""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from shutil import copy2

ROOT = Path(__file__).resolve().parents[2]
HOST_CAS = Path("/usr/local/share/ca-certificates")
BUILD_STEP = re.compile(r"Step \d+/\d+|#\d+ \[")  # the classic builder's words, BuildKit's
TELL_EVERY_S = 10
CLASSIC = {"DOCKER_BUILDKIT": "0"}
"""The builder that publishing uses: what it built is there for publishing, and the other way."""
DEFAULT_BASE = re.compile(r"^ARG BASE_IMAGE=(\S+)", re.MULTILINE)
Say = Callable[[str], None]


class StackError(Exception):
    """A step of building or starting the system failed; the message holds what it printed."""


@contextmanager
def alone(what: str) -> Iterator[None]:
    """One process at a time does this on this machine: for the next it is cached then."""
    folder = ROOT / ".cache"
    folder.mkdir(exist_ok=True)
    with (folder / f"{what}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # until the file is closed, flock(2)
        yield


def ensure_base(image: str) -> None:
    """The image's pinned bases: there, pulled, or stand-ins."""
    ensure_images(*bases_of(image))


def bases_of(image: str) -> list[str]:
    """The bases that an image.yaml names, the usual build's first."""
    text = (ROOT / "images" / image / "image.yaml").read_text(encoding="utf-8")
    return re.findall(r"^[ -]+base: (\S+)", text, re.MULTILINE)


def local_base(base: str) -> str:
    """A base that is there, by its digest, or its stand-in by name:tag."""
    inspected = subprocess.run(
        ["docker", "image", "inspect", base], capture_output=True, check=False
    )
    return base.partition("@")[0] if inspected.returncode else base


def docker(*arguments: str) -> str:
    """Run docker; what it prints. Raises StackError."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise StackError(f"docker {' '.join(arguments)} failed: {done.stderr}")
    return done.stdout.strip()


def has_no_host_network() -> bool:
    """Whether "host" is not this machine's own network: Docker Desktop, rootless Docker."""
    about = docker("info", "--format", "{{.OperatingSystem}} {{.SecurityOptions}}")
    return "Docker Desktop" in about or "name=rootless" in about


def ensure_images(*bases: str) -> None:
    """Images to build on: there, pulled, or stand-ins."""
    command = [str(ROOT / "scripts" / "dev" / "engine.sh"), "base", *bases]
    with alone("bases"):
        done = subprocess.run(command, check=False)
    if done.returncode:
        raise StackError(f"there is no base {' '.join(bases)}")


def build(context: Path, tag: str, *arguments: str) -> None:
    """Docker build; every 10 s says at which step it is, and everything when it fails.

    The host's own CAs go along where the context has a place for them.
    """
    if base := DEFAULT_BASE.search((context / "Dockerfile").read_text(encoding="utf-8")):
        ensure_images(base[1])
    with alone("build"):
        certs = context / "certs"
        if certs.is_dir() and HOST_CAS.is_dir():
            for certificate in HOST_CAS.glob("*.crt"):
                copy2(certificate, certs)
        _build(context, tag, *arguments)


def _build(context: Path, tag: str, *arguments: str) -> None:
    lines: list[str] = []
    with (
        _telling(lines),
        subprocess.Popen(
            ["docker", "build", "-t", tag, *arguments, str(context)],
            text=True,
            env={**os.environ, **_builder()},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as running,
    ):
        assert running.stdout is not None
        lines.extend(running.stdout)  # as they come
    if running.returncode:
        raise StackError(f"building {tag} failed:\n{''.join(lines)[-4000:]}")


@cache
def _builder() -> dict[str, str]:
    """BuildKit where it is: half the time for our own images."""
    asked = subprocess.run(["docker", "buildx", "version"], capture_output=True, check=False)
    if asked.returncode:
        return CLASSIC
    return {"DOCKER_BUILDKIT": "1", "BUILDKIT_PROGRESS": "plain"}


@contextmanager
def _telling(lines: list[str]) -> Iterator[None]:
    """Say every 10 s which step a build is at, by its lines so far; some steps say nothing."""
    started, over = time.monotonic(), threading.Event()

    def tell() -> None:
        while not over.wait(TELL_EVERY_S):
            steps = [line.strip() for line in tuple(lines) if BUILD_STEP.match(line)]
            if steps:
                print(f"        {time.monotonic() - started:3.0f} s  {steps[-1][:90]}", flush=True)

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()


def build_services(say: Say) -> None:
    """The service image, the gateway, the registry and the publisher."""
    for name, seconds, folder, *options in (
        ("container-portal", 60, "streamlit-service", "--target", "service"),
        ("container-portal-proxy", 8, "deployment/nginx"),
        ("container-portal-registry", 8, "deployment/registry"),
        ("container-portal-publisher", 10, "streamlit-service", "--target", "publisher"),
    ):
        say(f"Building {name} (the first time {seconds} s or more) ...")
        build(ROOT / folder, f"{name}:dev", *options)
