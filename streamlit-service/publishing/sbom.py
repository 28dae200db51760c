"""The software bill of materials: CycloneDX, by syft."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from portal.errors import EngineError
from pydantic import BaseModel

from publishing.bench import Bench

DEADLINE_S = 900
PYTHON, DEBIAN = "pkg:pypi/", "pkg:deb/"


class Packages(BaseModel):
    """What is in an image, taken from its bill of materials: name → version."""

    python: dict[str, str]
    system: dict[str, str]

    def all(self) -> dict[str, str]:
        """Both, the system's packages as deb:name."""
        return {**self.python, **{f"deb:{name}": version for name, version in self.system.items()}}


def make(bench: Bench, archive: Path) -> Packages:
    """Write sbom.json beside the other results. Raises EngineError."""
    target, draft = bench.work / "sbom.json", bench.work / ".sbom.new"
    environment = {**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false"}
    try:
        done = subprocess.run(  # noqa: S603
            ["syft", "scan", f"docker-archive:{archive}", "--quiet", "-o", f"cyclonedx-json={draft}",  # noqa: S607
             "--source-name", bench.image.name, "--source-version", bench.version],
            capture_output=True, text=True, timeout=DEADLINE_S, check=False, env=environment,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise EngineError("no_syft", "syft is not installed.", "Use the publisher's own image.") from error
    if done.returncode:
        raise EngineError("sbom_failed", f"syft failed: {done.stderr[-300:]}", "Run it again.", done.stderr)
    packages = read(draft)
    shutil.move(draft, target)
    return packages


def read(path: Path) -> Packages:
    """The packages that a CycloneDX file lists."""
    python: dict[str, str] = {}
    system: dict[str, str] = {}
    for component in json.loads(path.read_text(encoding="utf-8")).get("components", []):
        purl, version = str(component.get("purl", "")), str(component.get("version", ""))
        if purl.startswith(PYTHON):
            python[str(component["name"]).lower().replace("_", "-")] = version
        elif purl.startswith(DEBIAN):
            system[str(component["name"])] = version
    return Packages(python=dict(sorted(python.items())), system=dict(sorted(system.items())))
