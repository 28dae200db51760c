"""A curator at work: small images to publish, each with something to find."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import builds
import pytest
import yaml
from builds import ROOT, StackError
from stack import Stack

BASE = yaml.safe_load((ROOT / "images" / "ml-cpu" / "image.yaml").read_text())["builds"][0]["base"]
NEXT_MONTH = f"{datetime.now(UTC).date() + timedelta(days=30)}"
"""How long a waiver may last."""
LABELS = ("title", "description", "version", "revision", "created", "licenses", "source")
DOCKERFILE = """ARG BASE_IMAGE={base}
FROM ${{BASE_IMAGE}}
ARG VERSION
RUN apt-get update && apt-get upgrade -y --no-install-recommends \\
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \\
 && find / -xdev -type f -perm /6000 -exec chmod a-s {{}} +
{labels}
LABEL org.container-portal.image="tiny"
{more}
USER {user}
"""


class Curator:
    """Publishes from a folder of its own."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack = stack
        self.folder = folder
        folder.chmod(0o755)

    def tiny(
        self, more: str = "", *, user: str = "1000", drop_label: str = "", **changes: Any
    ) -> None:
        """An image of few files: each refusal is found in seconds.

        `more` are lines of its Dockerfile.
        """
        home = self.folder / "tiny"
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        values = {"title": "tiny", "version": "${VERSION}"}
        labels = "\n".join(
            f'LABEL org.opencontainers.image.{label}="{values.get(label, "x")}"'
            for label in LABELS
            if label != drop_label
        )
        text = DOCKERFILE.format(base=BASE, labels=labels, more=more, user=user)
        (home / "Dockerfile").write_text(text)
        described = yaml.safe_load((ROOT / "images" / "ml-cpu" / "image.yaml").read_text())
        described |= {"name": "tiny", **changes}
        (home / "image.yaml").write_text(yaml.safe_dump(described))

    def waive(self, **waiver: str) -> None:
        """The reviewed file, with one waiver."""
        (self.folder / "waivers.yaml").write_text(yaml.safe_dump({"waivers": [waiver]}))

    def admin(self, *words: str, **settings: str) -> str:
        """admin.py image …; returns what it said."""
        return self.stack.publisher(
            "image", *words, settings={"PORTAL_IMAGES": str(self.folder), **settings}
        )

    def checked(self, **settings: str) -> str:
        """Build, read and check the tiny image, each step alone."""
        self.admin("build", "tiny")
        self.admin("sbom", "tiny")
        return self.admin("check", "tiny", **settings)

    def refused(self, **settings: str) -> str:
        """What the check says when it refuses; then pushing is refused, too."""
        with pytest.raises(StackError) as refusal:
            self.checked(**settings)
        with pytest.raises(StackError):
            self.admin("push", "tiny")
        return str(refusal.value)


def copy_of_images(folder: Path) -> Path:
    """All images, to change one of them."""
    shutil.copytree(
        ROOT / "images", folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.crt")
    )
    folder.chmod(0o755)
    return folder


def base_is_there() -> None:
    """The base of the tiny image."""
    builds.ensure_base("ml-cpu")
