"""The curated images, each from its image.yaml; the database says which digests may run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from portal.core.errors import Invalid, NotFound

FILE = "image.yaml"
DIGEST = r"sha256:[0-9a-f]{64}"
PINNED = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9./:_-]*):(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]*)@" + DIGEST
)

Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, pattern=r"^[^\n]+$")]
Driver = Annotated[str, StringConstraints(pattern=r"^(\d+(\.\d+)*)?$")]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Build(_Entry):
    """One way to build an image.

    `base` is pinned by digest; `size_budget_mb` in 10⁶ bytes on disk.
    """

    variant: Annotated[str, StringConstraints(pattern=r"^([a-z0-9]+)?$")] = ""
    dockerfile: str = "Dockerfile"
    base: str
    cuda: str = ""
    size_budget_mb: int = Field(gt=0)

    @model_validator(mode="after")
    def _pinned(self) -> Build:
        if not PINNED.fullmatch(self.base):
            raise ValueError(f"base {self.base!r} is not name:tag@sha256:digest")
        return self

    @property
    def base_tag(self) -> str:
        """The base's name:tag, without its digest."""
        return self.base.partition("@")[0]


class Image(_Entry):
    """A curated image as people choose it, and as curators build it."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,38}$")]
    title: Line
    purpose: Line
    version: Annotated[str, StringConstraints(pattern=r"^\d+\.\d+\.\d+$")]
    released: date
    end_of_life: date
    """After this day it is not published any more."""
    maintainers: tuple[Line, ...] = Field(min_length=1)
    gpu: bool
    min_driver: Driver = ""
    """The oldest NVIDIA driver its CUDA runs on; "" for any."""
    cuda: str = ""
    builds: tuple[Build, ...] = Field(min_length=1)
    """The first is the usual one."""
    ports: Mapping[int, str]
    packages: Mapping[str, str]
    """Distribution name → the name people know it by, of the packages shown on the image's card."""
    example: str
    """A notebook cell that shows what the image is for; publishing runs it."""
    gpu_check: str = ""
    """Code that fails unless the framework sees a GPU; run where there is one."""

    def build(self, variant: str = "") -> Build:
        """The build of a variant. NotFound when there is none."""
        for build in self.builds:
            if build.variant == variant:
                return build
        known = ", ".join(build.variant or "(none)" for build in self.builds)
        raise NotFound(
            "no_variant", f"{self.name} has no variant {variant!r}.", f"Its variants: {known}."
        )

    def highlights(self, packages: Mapping[str, str]) -> tuple[str, ...]:
        """The packages of the card, with two places of their versions: "NumPy 2.4"."""
        return tuple(
            f"{shown} {'.'.join(packages[name].split(', ')[-1].split('.')[:2])}"
            for name, shown in self.packages.items()
            if name in packages
        )


def load(folder: Path) -> dict[str, Image]:
    """Read every image.yaml below a folder.

    Raises Invalid naming the file and the field that is wrong.
    """
    paths = sorted(folder.glob(f"*/{FILE}"))
    if not paths:
        raise Invalid(
            "bad_catalog",
            f"There is no */{FILE} in {folder}.",
            "Set PORTAL_IMAGES to the images folder.",
        )
    return {image.name: image for image in map(read, paths)}


def read(path: Path) -> Image:
    """Read one image.yaml. Raises Invalid."""
    try:
        image = Image.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Invalid("bad_catalog", f"{path}: {where or 'the file'}: {first['msg']}.") from error
    except (OSError, yaml.YAMLError) as error:
        raise Invalid(
            "bad_catalog", f"The image description {path} cannot be read: {error}"
        ) from error
    if image.name != path.parent.name:
        raise Invalid(
            "bad_catalog",
            f"{path} describes {image.name!r}, but its folder is {path.parent.name!r}.",
        )
    return image
