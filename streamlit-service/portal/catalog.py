"""The curated images: what they are for. Which digests of them may run is in the store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from portal.errors import Invalid


@dataclass(frozen=True)
class Image:
    """A curated image as people choose it."""

    name: str
    title: str
    purpose: str
    gpu: bool
    packages: tuple[str, ...]
    min_driver: str = ""
    """The oldest NVIDIA driver its CUDA runs on; "" for any."""


def load(path: Path) -> dict[str, Image]:
    """Read catalog.yaml. Raises Invalid naming the entry and the field that is wrong."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        entries = raw["images"]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise Invalid("bad_catalog", f"The image catalogue {path} cannot be read: {error}") from error
    return {name: _image(name, entry) for name, entry in entries.items()}


def _image(name: str, entry: dict[str, object]) -> Image:
    try:
        packages = entry.get("packages", [])
        if not isinstance(packages, list):
            raise TypeError("packages is not a list")
        return Image(
            name=name,
            title=str(entry["title"]),
            purpose=str(entry["purpose"]),
            gpu=bool(entry["gpu"]),
            packages=tuple(str(package) for package in packages),
            min_driver=str(entry.get("min_driver", "")),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise Invalid("bad_catalog", f"Image {name} in the catalogue: {error!s} is missing or wrong.") from error
