"""What all services logged while a portal's tests ran: JSON, and nobody's secret."""

from __future__ import annotations

import json
from collections.abc import Iterator

from stack import Stack

from harness import services

SERVICES = ("authz", "api", "ui", "worker", "proxy", "names", "evictor", "ssh-door", "registry")
TOKENS = """
import bootstrap, sqlalchemy as sa
from portal.db.schema import deployments
portal = bootstrap.portal(bootstrap.settings())
with portal.database.reading() as tx:
    print(*tx.execute(sa.select(deployments.c.jupyter_token)).scalars(), sep="\\n")
"""
SHORTEST = 16
"""Of a secret: what is shorter may stand in a line by chance."""
PUBLIC = {"client_ca", "registry_ca", "server_cert", "cosign.pub", "ssh_key.pub", "ssh_known_hosts"}


def check(system: Stack) -> None:
    """Raise AssertionError naming lines that are wrong."""
    if found := problems(system):
        raise AssertionError("\n".join(found))


def problems(system: Stack) -> list[str]:
    """Lines that are no JSON, and those with a secret in them, a few of each."""
    secrets = list(_secrets(system))
    found = []
    for service in SERVICES:
        raw = [line for line in logged(system, service) if line.strip()]
        bad = [repr(line) for line in raw if not _is_json(line)]
        lines = [line.decode(errors="replace") for line in raw]
        told = [line for line in lines if any(secret in line for secret in secrets)]
        found += [f"{service}: no JSON: {line[:300]}" for line in bad[:5]]
        found += [f"{service}: a secret: {line[:300]}" for line in told[:5]]
    return found


def logged(system: Stack, service: str) -> Iterator[bytes]:
    """Of each replica; docker compose logs would add control characters."""
    for replica in services.containers(system, service, ended=True):
        yield from bytes(replica.logs()).splitlines()


def _is_json(line: bytes) -> bool:
    """In UTF-8 (RFC 8259, section 8.1)."""
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _secrets(system: Stack) -> Iterator[str]:
    """Each secret file's lines but those around keys, and every notebook's token."""
    for path in (system.home / "secrets").iterdir():
        if path.name in PUBLIC:
            continue
        for line in path.read_text().splitlines():
            if len(line) >= SHORTEST and not line.startswith("-----"):
                yield line
    tokens = system.compose("exec", "-T", "api", "python3", "-c", TOKENS, capture=True).split()
    yield from (token for token in tokens if len(token) >= SHORTEST)
