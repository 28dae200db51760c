"""What the files outside of a package may import; the contracts in pyproject.toml hold the rest."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest
from support.paths import SERVICE

EDGES = {"auth", "bootstrap", "portal", "rest", "app_pages", "cli", "worker_client"}
MAY_IMPORT = {
    "app": EDGES,
    "api": EDGES,
    "authz": EDGES,
    "worker": {*EDGES, "checks"},
    "admin": EDGES,
    "bootstrap": {
        "auth",
        "certificates",
        "directory",
        "docker_manager",
        "json_lines",
        "portal",
        "registry",
        "worker_client",
    },
    "json_lines": set(),
    "pages": EDGES,
    "serve": {"rest"},
    "ssh_door": {*EDGES, "door"},
    "auth": {"certificates", "portal"},
    "docker_manager": {"engine", "portal"},
    "worker_client": {"portal"},
}
OURS = set(MAY_IMPORT) | {path.parent.name for path in SERVICE.glob("*/__init__.py")}


def test_every_top_level_file_has_its_rule() -> None:
    assert {path.stem for path in SERVICE.glob("*.py")} == set(MAY_IMPORT)


@pytest.mark.parametrize("name", MAY_IMPORT)
def test_a_top_level_file_imports_only_what_its_place_allows(name: str) -> None:
    tree = ast.parse((SERVICE / f"{name}.py").read_text(encoding="utf-8"))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
    assert imported & OURS <= MAY_IMPORT[name]


def test_only_the_worker_loads_the_engines_client() -> None:
    loaded = "import sys, api, authz, admin, app_pages.parts.session as _; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", loaded], cwd=SERVICE, capture_output=True, text=True, check=True
    )
    assert {"fastapi", "streamlit"} <= set(done.stdout.split())
    assert not {"docker_manager", "asyncssh"} & set(done.stdout.split())
