"""Who may import whom, asserted from the code's own imports (DESIGN.md, the house)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SERVICE = Path(__file__).parents[1] / "streamlit-service"
ENTRY = {"app", "api", "worker", "admin"}
# The edge that entry points share.
HTTP = {
    "rest",
    "authz",
    "views",
    "release_views",
    "http_errors",
    "request_log",
    "worker_client",
}
ADMIN = {"admin_image", "admin_backup", "admin_crl", "admin_health"}  # parts of the command line
MAY_IMPORT = {
    **{entry: {"wiring", "auth", "portal", "app_pages", *ADMIN, *HTTP} for entry in ENTRY},
    "admin_backup": {"wiring", "portal"},
    "admin_crl": {"wiring", "portal", "revocation"},
    "admin_health": {"wiring", "portal", "revocation"},
    "admin_image": {"wiring", "portal", "publishing", "cosign"},
    "app_pages": {"wiring", "portal", "auth", "app_pages", "views", "worker_client"},
    "wiring": {
        "auth",
        "docker_manager",
        "portal",
        "registry",
        "revocation",
        "signatures",
        "worker_client",
    },
    "publishing": {"portal", "cosign", "docker_manager", "registry"},
    "signatures": {"portal", "cosign", "registry"},
    "cosign": {"portal"},
    "registry": {"portal"},
    "auth": {"portal", "chain"},
    "chain": set(),
    "revocation": {"portal"},
    "docker_manager": {"portal", "engine_errors", "gpu_probe", "ssh_tunnel", "vm_probe"},
    "engine_errors": {"portal"},
    "gpu_probe": {"portal"},
    "vm_probe": {"portal"},
    "ssh_tunnel": {"portal"},
    "authz": {"portal", "rest"},
    "rest": {"auth", "portal", "views", "release_views", "worker_client"},
    "views": {"portal"},
    "release_views": {"portal"},
    "http_errors": {"portal"},
    "request_log": set(),
    "worker_client": {"portal"},
    "portal": {"portal"},
}
RINGS = [
    {"models", "errors", "ports", "config"},
    {
        "lifecycle",
        "policy",
        "placement",
        "line",
        "catalog",
        "engine",
        "schema",
        "rows",
        "spec",
        "launch",
        "report",
        "sshkeys",
        "vmhealth",
    },
    {"store", "ledger", "releases", "audit", "context", "metrics", "backup"},
    {
        "inventory",
        "deployments",
        "admission",
        "quotas",
        "board",
        "usage",
        "gateway",
        "images",
        "shelf",
        "health",
        "users",
        "work",
    },
    {"convergence", "observation", "shelving", "proving"},
    {"reconciler"},
]
ONLY_IN = {
    "sqlalchemy": {
        "portal/store.py",
        "portal/ledger.py",
        "portal/releases.py",
        "portal/schema.py",
        "portal/rows.py",
        "portal/audit.py",
        "portal/backup.py",
        "portal/deployments.py",
        "admin_backup.py",
        "admin_health.py",
    },
    "alembic": {"portal/store.py", "portal/backup.py"},
    "docker": {"docker_manager.py", "publishing"},
    "asyncssh": {"ssh_tunnel.py"},
    "fastapi": {"api.py", "authz.py", "worker.py", "http_errors.py", "rest"},
    "typer": {"admin.py", "admin_backup.py", "admin_crl.py", "admin_health.py", "admin_image.py"},
    "prometheus_client": {"portal/metrics.py", "worker.py"},
}
FILES = sorted(p for p in SERVICE.rglob("*.py") if "migrations" not in p.parts)


def imports(path: Path) -> set[str]:
    """Dotted names of all modules a file imports, `from x import y` also as x.y."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def module_of(path: Path) -> str:
    """The top-level module or package of a file."""
    return path.relative_to(SERVICE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SERVICE)))
def test_a_file_imports_only_what_its_place_allows(path: Path) -> None:
    here, ours = module_of(path), set(MAY_IMPORT)
    reached = {name.split(".")[0] for name in imports(path)} & ours
    assert reached - {here} <= MAY_IMPORT[here]


@pytest.mark.parametrize(
    "path", [p for p in FILES if p.parent.name == "portal"], ids=lambda p: p.stem
)
def test_inside_portal_imports_point_inwards(path: Path) -> None:
    ring = {name: level for level, names in enumerate(RINGS) for name in names}
    if path.stem == "__init__":
        return
    inner = {name.split(".")[1] for name in imports(path) if name.startswith("portal.")} & set(ring)
    assert all(ring[name] <= ring[path.stem] for name in inner), inner


@pytest.mark.parametrize("package", ONLY_IN)
def test_a_technology_is_known_only_where_it_belongs(package: str) -> None:
    users = [
        p.relative_to(SERVICE) for p in FILES if package in {n.split(".")[0] for n in imports(p)}
    ]
    strangers = [p for p in users if not {str(p), p.parts[0]} & ONLY_IN[package]]
    assert not strangers


def test_streamlit_is_known_only_by_the_pages() -> None:
    users = {module_of(p) for p in FILES if "streamlit" in {n.split(".")[0] for n in imports(p)}}
    assert users == {"app", "app_pages"}
