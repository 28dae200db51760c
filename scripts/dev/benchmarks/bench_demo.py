"""Bench of the first command: on a bare machine, against downloading what it needs.

The machine is a container with systemd, as the tests have them: Debian 13, Python and make, no
Docker. What it needs are the Debian packages and wheels that are there afterwards and were not
before, in the machine and in the images. They are downloaded again, by apt and pip, and not
used.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import builds
from builds import HOST_CAS, ROOT, StackError
from harness.fleet import boot
from harness.machines import Machine, build_image
from rows import Row, Sizes, timed

RELEASE = "debian-13"
PLACE = "/root/portal"
WANTED = ("make", "python3", "python3-venv", "ca-certificates")
"""What the README asks for, and venv for the downloads."""
DOWNLOAD = "mkdir -m 777 -p /tmp/debs && cd /tmp/debs && apt-get -qq update && apt-get -qq download"
WHEELS = {
    "streamlit-service/requirements-uv.txt": "3.13",
    "streamlit-service/requirements.txt": "3.13",
    "streamlit-service/publishing/requirements.txt": "3.13",
    "images/ml-cpu/requirements.txt": "3.11",
}
"""What the images install, and the Python of each."""


def first_command(sizes: Sizes) -> Row:
    """`make demo` where nothing is there, to a notebook that answers."""
    with _bare_machine() as machine:
        before = _packages(machine)
        took = _seconds(machine, f"cd {PLACE} && make {sizes.first_command}")
        new = _packages(machine) - before
        images = _on(machine, "docker images --format '{{.Repository}}:{{.Tag}}'").split()
        for image in (each for each in images if each.endswith(":dev")):
            new |= _packages(machine, image) - before
        downloads = _seconds(machine, f"{DOWNLOAD} {' '.join(sorted(new))}")
        if sizes.first_command == "demo":
            downloads += _ml_cpu(machine) + _wheels(machine)
        size = _on(machine, "du -cms /tmp/debs /tmp/wheels 2>/dev/null | tail -1").split()[0]
    what = f"make {sizes.first_command} on a bare machine / downloading its {size} MB"
    return Row(what, took, downloads, "<= 2")


def _ml_cpu(machine: Machine) -> float:
    """Seconds for the packages of the image that people run: another release of Debian."""
    base = builds.bases_of("ml-cpu")[0].partition("@")[0]
    packages = " ".join(sorted(_packages(machine, "container-portal-ahead/ml-cpu")))
    shared = "--volume /tmp/debs:/tmp/debs"
    return _seconds(machine, f"docker run --rm {shared} {base} bash -c '{DOWNLOAD} {packages}'")


def _wheels(machine: Machine) -> float:
    """Seconds for what the images install of PyPI."""
    _on(machine, "python3 -m venv /opt/pip")
    pip = "/opt/pip/bin/pip download -q --no-cache-dir --no-deps --require-hashes -d /tmp/wheels"
    return sum(
        _seconds(
            machine, f"{pip} --only-binary=:all: --python-version {python} -r {PLACE}/{locked}"
        )
        for locked, python in WHEELS.items()
    )


def _packages(machine: Machine, image: str = "") -> set[str]:
    """Debian packages with their versions, of the machine or of an image that is on it."""
    inside = f"docker run --rm --entrypoint dpkg-query {image}" if image else "dpkg-query"
    return set(_on(machine, inside + " -W -f '${Package}=${Version}\\n'").split())


def _on(machine: Machine, script: str) -> str:
    """Run it, however long it takes. StackError with what it said when it fails."""
    command = ["docker", "exec", machine.name, "bash", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StackError(f"{script[:80]}: {(done.stdout + done.stderr)[-2000:]}")
    return done.stdout


def _seconds(machine: Machine, script: str) -> float:
    return timed(lambda: _on(machine, script))


@contextmanager
def _bare_machine() -> Iterator[Machine]:
    """With this checkout on it; gone afterwards."""
    name = "container-portal-bench-machine"
    options = (f"--name={name}", "--env=ADMIN_KEY=", "--tmpfs=/run", "--tmpfs=/tmp:exec")
    machine = Machine(name, "", boot(*options, image=build_image(RELEASE)))
    try:
        machine.wait()
        if HOST_CAS.is_dir():
            machine.copy(HOST_CAS, "/usr/local/share")
        _on(machine, f"apt-get -qq update && apt-get -qq install -y {' '.join(WANTED)}")
        _on(machine, "update-ca-certificates")
        machine.container.put_archive("/root", _checkout())
        yield machine
    finally:
        machine.container.remove(force=True, v=True)


def _checkout() -> bytes:
    """The files of this checkout, as a tar with one folder."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in filter(None, listed.stdout.decode().split("\0")):
            archive.add(ROOT / name, Path("portal") / name)
    return buffer.getvalue()
