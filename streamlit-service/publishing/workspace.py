"""What every publishing step works with: image, build engine, work folder, progress."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import docker
from portal.core.catalog import Build, Image
from portal.core.errors import Conflict, EngineError
from portal.core.settings import Settings
from pydantic import BaseModel

BUILD_TIMEOUT_S = 3600
NOT_CONTENT = {"certs", "README.md"}
"""What of an image's folder does not change the image: a private CA differs from place to place."""
M = TypeVar("M", bound=BaseModel)


class Refused(Conflict):
    """The image does not pass: a test, a lint rule, the policy."""


@dataclass(frozen=True)
class Workspace:
    """One image on its way.

    Results of steps are files in `work`, so that each step runs alone, too.
    """

    settings: Settings
    image: Image
    build: Build
    version: str
    say: Callable[[str], None] = field(default=print)
    fresh: bool = False
    """Leave no layer and no earlier result in use."""

    @property
    def folder(self) -> Path:
        """The image's folder: the build context."""
        return self.settings.images_dir / self.image.name

    @property
    def local(self) -> str:
        """The built image's name on the build engine."""
        registry = self.settings.registry
        return f"{registry.repository(self.image.name, registry.local_host)}:{self.version}"

    @cached_property
    def engine(self) -> docker.DockerClient:
        """The build engine: $DOCKER_HOST, else the local socket. Raises EngineError."""
        try:
            client = docker.from_env(timeout=BUILD_TIMEOUT_S)
            client.ping()
        except (docker.errors.DockerException, OSError) as error:
            raise EngineError(
                "no_build_engine",
                "There is no Docker Engine to build with.",
                "Start one, or set DOCKER_HOST.",
                str(error),
            ) from error
        return client

    @cached_property
    def content(self) -> str:
        """SHA-256 over the folder's files: equal exactly for equal inputs."""
        digest = hashlib.sha256(f"{self.build.dockerfile}\0{self.version}".encode())
        for path in sorted(self.folder.rglob("*")):
            inside = path.relative_to(self.folder)
            if path.is_file() and inside.parts[0] not in NOT_CONTENT:
                digest.update(
                    f"{inside}\0{path.stat().st_mode & 0o111}\0".encode()
                    + path.read_bytes()
                    + b"\0"
                )
        return digest.hexdigest()

    def built(self) -> dict[str, Any]:
        """What the engine says of the built image. Raises Conflict when it was not built."""
        try:
            return dict(self.engine.images.get(self.local).attrs)
        except docker.errors.ImageNotFound as error:
            raise Conflict(
                "not_built",
                f"{self.local} is not built yet.",
                f"Run admin.py image build {self.image.name} first.",
            ) from error

    @property
    def id(self) -> str:
        """The built image's id: SHA-256 of its configuration, so of everything in it."""
        return str(self.built()["Id"])

    @property
    def created_at(self) -> datetime:
        """The day of the release, for the label: the same inputs give the same image."""
        return datetime.combine(self.image.released, datetime.min.time(), UTC)

    @property
    def work(self) -> Path:
        """Results about exactly this built image."""
        path = self.settings.publish_dir / self.image.name / self.id.removeprefix("sha256:")[:16]
        path.mkdir(parents=True, exist_ok=True)
        return path

    def tidy(self) -> None:
        """Forget results about images that the engine no longer has, and a kill's leftovers."""
        # Only the list: images.list() asks for each, and others remove some meanwhile.
        listed = self.engine.api.images(all=True)
        present = {str(image["Id"]).removeprefix("sha256:")[:16] for image in listed}
        for path in (self.settings.publish_dir / self.image.name).glob("*"):
            if path.name not in present:
                shutil.rmtree(path, ignore_errors=True)
            else:
                (path / "image.tar").unlink(missing_ok=True)

    def keep(self, name: str, value: BaseModel) -> None:
        """Write a step's result, whole or not at all."""
        draft = self.work / f".{name}.new"
        draft.write_text(value.model_dump_json(indent=1))
        draft.replace(self.work / f"{name}.json")

    def kept(self, name: str, model: type[M]) -> M | None:
        """An earlier result about this same image, unless all is to be done anew."""
        path = self.work / f"{name}.json"
        if self.fresh or not path.exists():
            return None
        try:
            return model.model_validate_json(path.read_text())
        except ValueError:
            return None  # by another version of this program

    def needed(self, name: str, model: type[M], step: str) -> M:
        """An earlier step's result. Raises Conflict naming the step that is missing."""
        path = self.work / f"{name}.json"
        if not path.exists():
            raise Conflict(
                "step_missing",
                f"{self.image.name} has no {step} result yet.",
                f"Run admin.py image {step} {self.image.name} first.",
            )
        return model.model_validate(json.loads(path.read_text()))


class ProgressLog:
    """Says each step with the seconds since the start."""

    def __init__(self, out: Callable[[str], None]) -> None:
        self._out = out
        self._start = time.monotonic()

    def __call__(self, text: str) -> None:
        """Tell one step."""
        self._out(f"{time.monotonic() - self._start:5.0f} s  {text}")
