"""Progress of a pull, from the lines of an engine's stream (Docker API, POST /images/create)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from portal.core.models import LayerProgress

DOWNLOADED = ("Download complete", "Verifying Checksum", "Pull complete", "Already exists")


class PullError(Exception):
    """The stream ended in an error; the text is the engine's."""


def layers_of(stream: Iterable[dict[str, Any]]) -> Iterator[tuple[LayerProgress, ...]]:
    """All layers so far, after each line that is about one. Raises PullError."""
    layers: dict[str, LayerProgress] = {}
    for line in stream:
        if "error" in line:
            raise PullError(str(line["error"]))
        if _note(layers, line):
            yield tuple(layers.values())


def _note(layers: dict[str, LayerProgress], line: dict[str, Any]) -> bool:
    """Take one line into account; False when it is about no layer."""
    layer, status = line.get("id"), str(line.get("status", ""))
    if not layer or status.startswith("Pulling from"):
        return False
    detail = line.get("progressDetail") or {}
    before = layers.get(layer, LayerProgress(layer, 0, 0, ""))
    current, total = detail.get("current", before.current), detail.get("total", before.total)
    if status in DOWNLOADED:
        current = total
    if status == "Extracting":  # the download is done; bytes stay bytes of the download
        current, total = before.total, before.total
    layers[layer] = LayerProgress(layer, current, total, status)
    return True
