"""Images published once a run: each further portal adopts what the first published.

As in a closed network: one signing key, and what the registry holds comes on a disk.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import builds
import pytest
import yaml
from builds import ROOT, Say
from stack import Stack

KEYS = ("cosign_password", "cosign.key", "cosign.pub")
VOLUMES = ("registry", "publish")
"""What was pushed; and what was read of the images, so that they are not read twice."""


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this run have in common."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def make_secrets(system: Stack, shared: Path) -> None:
    """A portal's secrets, with the signing key of the run's first portal."""
    with builds.alone("signing-key"):
        kept, secrets = shared / "signing-key", system.home / "secrets"
        if kept.exists() and not system.is_made():
            secrets.mkdir(parents=True, exist_ok=True)
            for name in KEYS:
                shutil.copy2(kept / name, secrets / name)
        system.make_secrets()
        kept.mkdir(exist_ok=True)
        for name in KEYS:
            if not (kept / name).exists():
                shutil.copy2(secrets / name, kept / name)


def have(system: Stack, image: str, shared: Path, say: Say) -> None:
    """The image approved at a portal that runs: published by the first, adopted by others."""
    archive = shared / f"{image}.tar"
    with builds.alone(f"publish-{image}"):
        if not archive.exists():
            system.publish(image, say=say)
            with archive.with_suffix(".part").open("wb") as file:
                _tar(system, "-c", *VOLUMES, stdout=file)
            archive.with_suffix(".part").rename(archive)
            return
    described = yaml.safe_load((ROOT / "images" / image / "image.yaml").read_text())
    version = str(described["version"])
    releases = json.loads(system.admin("image", "list"))
    if not any((release["image"], release["version"]) == (image, version) for release in releases):
        with archive.open("rb") as file:
            _tar(system, "-x", stdin=file)
        system.publisher("image", "adopt", image, version, say=say)
        system.admin("image", "approve", image, version)


def _tar(system: Stack, *arguments: str, **streams: Any) -> None:
    """Tar in a container that has the portal's volumes below /."""
    mounts = []
    for volume in VOLUMES:
        source = f"type=volume,source={system.project}_{volume},target=/{volume}"
        # As Compose labels what it makes: these are the portal's, and go with it.
        labels = {"project": system.project, "volume": volume}
        marks = [f"volume-label=com.docker.compose.{key}={text}" for key, text in labels.items()]
        mounts += ["--mount", ",".join((source, *marks))]
    subprocess.run(
        [
            *("docker", "run", "--rm", "--interactive", "--network=none", "--user=0"),
            *("--entrypoint=tar", *mounts, "container-portal:dev", "-C", "/", *arguments),
        ],
        check=True,
        **streams,
    )
