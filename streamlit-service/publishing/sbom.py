"""The software bill of materials: CycloneDX, by syft."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from packaging.utils import canonicalize_name
from portal.core.errors import EngineError
from pydantic import BaseModel

from publishing import tools
from publishing.workspace import Workspace

DEADLINE_S = 900
PYTHON, DEBIAN = "pkg:pypi/", "pkg:deb/"


class Packages(BaseModel):
    """What is in an image, taken from its bill of materials: name → versions.

    There may be several copies of one.
    """

    python: dict[str, tuple[str, ...]]
    system: dict[str, tuple[str, ...]]

    def all(self) -> dict[str, str]:
        """Both, the system's packages as deb:name; several versions comma-separated."""
        system = {f"deb:{name}": versions for name, versions in self.system.items()}
        return {name: ", ".join(versions) for name, versions in {**self.python, **system}.items()}


def make(workspace: Workspace, archive: Path) -> Packages:
    """Write sbom.json beside the other results. Raises EngineError."""
    target, draft = workspace.work / "sbom.json", workspace.work / ".sbom.new"
    environment = {**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false"}
    done = tools.run(
        "syft",
        *("scan", f"docker-archive:{archive}", "--quiet", "-o", f"cyclonedx-json={draft}"),
        *("--source-name", workspace.image.name, "--source-version", workspace.version),
        deadline_s=DEADLINE_S,
        environment=environment,
    )
    if done.returncode:
        raise EngineError(
            "sbom_failed", f"syft failed: {done.stderr[-300:]}", "Run it again.", done.stderr
        )
    packages = read(draft)
    shutil.move(draft, target)
    return packages


def read(path: Path) -> Packages:
    """The packages that a CycloneDX file lists."""
    python: dict[str, set[str]] = {}
    system: dict[str, set[str]] = {}
    for component in json.loads(path.read_text(encoding="utf-8")).get("components", []):
        purl, name, version = (str(component.get(key, "")) for key in ("purl", "name", "version"))
        if purl.startswith(PYTHON):
            python.setdefault(canonicalize_name(name), set()).add(version)
        elif purl.startswith(DEBIAN):
            system.setdefault(name, set()).add(version)
    return Packages(python=_sorted(python), system=_sorted(system))


def _sorted(versions_of: dict[str, set[str]]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(sorted(versions)) for name, versions in sorted(versions_of.items())}
