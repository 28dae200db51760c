"""The server's certificate and every password are replaced in mid-use, as the guide says."""

from __future__ import annotations

import json
import secrets
import ssl
import subprocess
from typing import Any

import httpx2
import pki
from builds import ROOT
from harness import checker
from harness.injury import BACK_S, healthy
from harness.people import client, somebody, wait_until
from harness.production_system import machine
from stack import Stack


def presented(production: Stack) -> str:
    """The certificate that the gateway shows."""
    return ssl.get_server_certificate((production.host, production.port), timeout=10)


def status(production: Stack) -> int:
    """Of a request with Jane's card; 0 while nothing answers."""
    with client(production, "jane") as jane:
        try:
            return jane.get("/api/v1/me").status_code
        except httpx2.HTTPError:
            return 0


def works(production: Stack) -> bool:
    return status(production) == httpx2.codes.OK


def stale(production: Stack) -> set[str]:
    """Whoever goes on with an old secret, by health-check.sh."""
    done = subprocess.run(
        [ROOT / "scripts" / "health-check.sh", "--json"],
        env=production.variables(),
        text=True,
        capture_output=True,
        check=False,
        timeout=120,
    )
    findings: list[dict[str, Any]] = json.loads(done.stdout)["findings"]
    return {each["subject"].split()[0] for each in findings if each["check"] == "secret"}


def replace(production: Stack) -> str:
    """New ones of each; gives the new certificate."""
    authority = production.authority()
    names = [production.host, "localhost", "127.0.0.1", "registry"]
    server = authority.server(names)
    chain = pki.pem(server.certificate, authority.servers.certificate)
    production.write_secret("server_cert", chain)
    production.write_secret("server_key", pki.key_pem(server.key))
    for name in ("proxy_secret", "registry_password"):
        production.write_secret(name, f"{secrets.token_urlsafe(24)}\n".encode())
    production.write_secret(
        "postgres_password", f" it's C:\\temp\\new {secrets.token_urlsafe(24)} \r\n".encode()
    )
    return pki.pem(server.certificate).decode()


def runs_since(production: Stack, made: dict[str, Any]) -> str:
    """When its container started, by the VM's own engine."""
    inspect = ("docker", "inspect", "--format", "{{.State.StartedAt}}", f"portal-{made['id']}")
    return machine(production).run(*inspect)


def test_new_secrets_count_when_services_start_anew_and_what_runs_goes_on(
    production: Stack,
) -> None:
    with somebody(production, "jane") as jane:
        made = jane.settled(jane.deploy("goes-on")["id"])
        assert made["state"] == "running", made
        since, old = runs_since(production, made), presented(production)
        new = replace(production)
        assert works(production)
        assert presented(production) == old
        assert stale(production) >= {
            "proxy",
            "authz",
            "api",
            "ui",
            "worker",
            "registry",
            "postgres",
        }

        # Half done: whoever has the new secret and whoever has the old one do not trust each other.
        production.compose("up", "-d", "--no-deps", "--force-recreate", "proxy", capture=True)
        wait_until(lambda: presented_is(production, new), "the new certificate", BACK_S)
        assert not works(production)

        production.compose("up", "-d", "--wait", "--force-recreate", capture=True)
        wait_until(lambda: healthy(production) and works(production), "it works again", BACK_S)
        assert presented(production) == new
        assert stale(production) == set()
        assert runs_since(production, made) == since
        another = jane.settled(jane.deploy("another")["id"])
        assert another["state"] == "running", another
        assert checker.agreed(production, machine(production)) == []


def presented_is(production: Stack, certificate: str) -> bool:
    try:
        return presented(production) == certificate
    except OSError:
        return False
