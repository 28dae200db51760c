"""Production for real: PostgreSQL, two pages, two APIs; killed, upgraded, lost, restored."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import databases
import docker
import httpx2
import pytest
from harness.people import Person, client, somebody, wait_until
from harness.production_system import machine
from harness.services import containers
from stack import Stack

AS_GATEWAY = ("exec", "-T", "--user", "10002", "proxy")
SERVICES = (
    "authz",
    "api",
    "ui",
    "worker",
    "proxy",
    "names",
    "evictor",
    "ssh-door",
    "registry",
    "postgres",
    "backup",
)
LARGE, LARGE_FILE = 200 * 2**20, "/home/scientist/large"
CUT_AFTER_S = 4.0
"""A reload of nginx once ended everything after three seconds."""
TO_0003 = """
ALTER TABLE vms DROP COLUMN firewall, DROP COLUMN disk_free_gb, DROP COLUMN clock_skew_s,
  DROP COLUMN checked_at, DROP COLUMN synchronised, DROP COLUMN ports_reserved,
  DROP COLUMN drain_by, DROP COLUMN drain_reason, DROP COLUMN breaches;
ALTER TABLE audit_head DROP COLUMN base_seq, DROP COLUMN base_hash;
ALTER TABLE deployments DROP COLUMN trouble, DROP COLUMN pending_since, DROP COLUMN stop_note,
  DROP COLUMN "group";
DROP TABLE figures, recent_figures, blocked_ports, leaders, aliases, certificates, memberships,
  directory_looks, sessions, visits, consents, announcements, findings, offloads,
  isolation, release_signatures;
UPDATE users SET range_index = 100 + id WHERE range_index IS NULL;
ALTER TABLE users ALTER COLUMN range_index SET NOT NULL, DROP COLUMN card_name,
  DROP COLUMN retired_at, DROP COLUMN retired_reason, DROP COLUMN root,
  DROP COLUMN named_at, DROP COLUMN merged_into, DROP COLUMN disabled_at,
  DROP COLUMN disabled_reason, DROP COLUMN disabled_by, DROP COLUMN last_seen_at,
  DROP COLUMN sessions_ended_at, DROP COLUMN in_directory, DROP COLUMN scopes,
  DROP COLUMN ends_at,
  ADD COLUMN certificate_key TEXT NOT NULL DEFAULT 'ssh-ed25519 AAAA';
DROP INDEX ix_users_role, ix_users_group, leases_by_resource, leases_by_start, audit_by_action,
  audit_by_actor, audit_by_time,
  deployments_by_release;
UPDATE alembic_version SET version_num = '0003';
"""


@pytest.fixture
def jane(production: Stack) -> Iterator[Person]:
    with somebody(production, "jane") as jane:
        yield jane


def runs(jane: Person) -> dict[str, Any]:
    made = jane.deploy("in-production")
    settled = jane.settled(made["id"])
    assert settled["state"] == "running", settled
    return settled


def notebook_answers(system: Stack, jane: Person) -> bool:
    try:
        return jane.http.get(f"https://{system.host}:10000/api").status_code == httpx2.codes.OK
    except httpx2.HTTPError:
        return False


@pytest.mark.parametrize("service", SERVICES)
def test_services_have_no_rights_that_they_do_not_need(production: Stack, service: str) -> None:
    replicas = containers(production, service)
    assert len(replicas) == (2 if service in ("authz", "api", "ui") else 1)
    for replica in replicas:
        host = replica.attrs["HostConfig"]
        assert host["ReadonlyRootfs"], service
        assert host["CapDrop"] == ["ALL"], service
        assert "no-new-privileges:true" in host["SecurityOpt"], service
        assert host["RestartPolicy"]["Name"] == "always", service
        assert host["Memory"] > 0 and host["NanoCpus"] > 0 and host["PidsLimit"] > 0, service
        processes = replica.top(ps_args="-o uid,pid,args")["Processes"]
        assert processes and "0" not in {process[0] for process in processes}, service
        assert not any(
            "docker.sock" in (mount.get("Source") or "") for mount in replica.attrs["Mounts"]
        ), service
        secrets = (production.home / "secrets" / "postgres_password").read_text()
        assert secrets not in json.dumps(replica.attrs), service


def replicas_asked(system: Stack) -> dict[str, int]:
    """Service → how many of its replicas nginx knows."""
    text = system.compose(*AS_GATEWAY, "cat", "/run/nginx/upstreams.conf", capture=True)
    parts = [part for part in text.split("upstream ") if part.strip()]
    return {part.split()[0]: part.count("    server ") for part in parts}


def test_a_person_stays_with_one_page_and_people_are_spread(production: Stack) -> None:
    assert replicas_asked(production) == {"authz": 2, "api": 2, "ui": 2}
    found = production.compose(*AS_GATEWAY, "cat", "/run/nginx/upstreams.conf", capture=True)
    assert "hash $whose consistent" in found
    nginx = production.compose(
        *AS_GATEWAY, "cat", "/etc/portal-nginx/nginx.conf.template", capture=True
    )
    # Scripts, which are asked for by way of nginx itself, come from where the page came from.
    assert '$whose { default $ssl_client_fingerprint; "" $http_x_client_fingerprint; }' in nginx


def test_the_classification_is_also_on_what_refuses_somebody(
    production: Stack, jane: Person
) -> None:
    browser = {"Accept": "text/html"}
    card_less = production.tls(None)
    with httpx2.Client(base_url=production.url, verify=card_less, trust_env=False) as nobody:
        refusals = [nobody.get("/", headers=browser)]  # by nginx
    refusals.append(jane.http.get(f"https://{production.host}:10900/", headers=browser))  # by authz
    for refusal in refusals:
        assert refusal.status_code == httpx2.codes.FORBIDDEN
        assert refusal.text.count(">UNCLASSIFIED//FOUO<") == 2, refusal.text
        assert "background: #007a33; color: #ffffff" in refusal.text


def test_the_main_job_on_postgresql(production: Stack, jane: Person) -> None:
    runs(jane)
    wait_until(lambda: notebook_answers(production, jane), "Jupyter through the gateway")


def me(production: Stack) -> int:
    """On a connection of its own: nginx's reload may close an idle one."""
    with client(production, "jane") as http:
        return http.get("/api/v1/me").status_code


def test_one_replica_is_enough(production: Stack, jane: Person) -> None:
    """While one api is away no request fails: nginx goes on to the other."""
    runs(jane)
    victim = containers(production, "api")[0]
    victim.stop(timeout=3)
    try:
        answers = [me(production) for _ in range(6)]
    finally:
        victim.start()
        wait_until(lambda: all_replicas_asked(production), "nginx asks both again")
    assert answers == [httpx2.codes.OK] * 6


def all_replicas_asked(system: Stack, apis: int = 2) -> bool:
    """Whether nginx has read every replica's address."""
    [proxy] = containers(system, "proxy")
    processes = " ".join(" ".join(row) for row in proxy.top()["Processes"])
    reloading = any(sign in processes for sign in ("nginx -t", "nginx -s"))
    return not reloading and replicas_asked(system) == {"authz": 2, "api": apis, "ui": 2}


def test_a_replica_that_comes_and_goes_ends_nobodys_download(
    production: Stack, jane: Person
) -> None:
    made = runs(jane)
    url = f"{made['urls']['jupyter']}files/large"
    machine(production).run(
        *("docker", "exec", f"portal-{made['id']}", "truncate", "-s", str(LARGE), LARGE_FILE)
    )
    with jane.http.stream("GET", url, timeout=60) as download:
        pieces = download.iter_raw(2**16)
        got = len(next(pieces))
        try:
            for apis in (3, 2):
                scale(production, apis)
            reloaded = time.monotonic()
            wait_until(lambda: time.monotonic() - reloaded > CUT_AFTER_S, "it would have been cut")
            got += sum(len(piece) for piece in pieces)
        finally:
            scale(production, 2)
    assert got == LARGE


def scale(production: Stack, apis: int) -> None:
    """So many replicas of the API, those that stay untouched; returns when nginx asks them."""
    options = ("--no-deps", "--no-recreate", f"--scale=api={apis}")
    production.compose("up", "-d", *options, "api", capture=True)
    wait_until(partial(all_replicas_asked, production, apis), "nginx asks them")


def test_an_upgrade_leaves_containers_running(production: Stack, jane: Person) -> None:
    made = runs(jane)
    production.compose("stop", "proxy", "authz", "api", "ui", "worker", "backup", capture=True)
    production.compose(
        "exec",
        "-T",
        "postgres",
        "/usr/lib/postgresql/17/bin/psql",
        "-q",
        "-h",
        "/tmp",
        "-U",
        "portal",
        "-c",
        TO_0003,
        "portal",
        capture=True,
    )
    production.up()
    deployment = jane.http.get(f"/api/v1/deployments/{made['id']}").json()
    assert (deployment["state"], deployment["started_at"]) == ("running", made["started_at"])
    wait_until(lambda: notebook_answers(production, jane), "the notebook answers")
    assert "whole" in production.admin("audit", "verify")


def test_the_records_can_be_in_a_database_of_ones_own(production: Stack, tmp_path: Path) -> None:
    """Of two machines, the first of which is away."""
    network = f"{production.project}_portal"
    elsewhere = databases.database_on(network, tmp_path)
    try:
        password = (production.home / "secrets" / "postgres_password").read_text().strip()
        databases.sql(elsewhere, f"ALTER ROLE portal PASSWORD '{password}'")
        at = elsewhere.attrs["NetworkSettings"]["Networks"][network]["IPAddress"]
        hosts = f"host=127.0.0.1:5432&host={at}:5432&target_session_attrs=read-write"
        own = replace(
            production,
            files=(*production.files, "docker-compose.database.yml"),
            settings={
                **production.settings,
                "PORTAL_POSTGRESQL_URL": f"postgresql+psycopg://portal@/portal?{hosts}",
            },
        )
        assert "postgres" not in own.compose("config", "--services", capture=True).split()
        own.compose("run", "--rm", "-T", "init", capture=True)
        assert databases.sql(elsewhere, "SELECT count(*) FROM audit_head", "portal") == "1"
    finally:
        elsewhere.remove(force=True, v=True)


def test_everything_lost_and_restored(production: Stack, jane: Person, tmp_path: Path) -> None:
    made = runs(jane)
    output = production.compose(
        "exec", "-T", "backup", "python3", "admin.py", "backup", "/backups", capture=True
    )
    assert "a test restore succeeded" in output
    name = next(word for word in output.split() if word.startswith("/backups/"))
    production.compose("stop", "proxy", "authz", "api", "ui", "worker", "backup", capture=True)
    production.compose("rm", "-sfv", "postgres", "init", capture=True)
    docker.from_env().volumes.get(f"{production.project}_postgres").remove()
    production.compose("up", "-d", "--wait", "postgres", capture=True)
    output = production.compose(
        "run",
        "--rm",
        "-T",
        "--no-deps",
        "backup",
        "python3",
        "admin.py",
        "restore",
        name,
        capture=True,
    )
    assert "The audit trail is whole" in output
    production.up()
    deployment = jane.http.get(f"/api/v1/deployments/{made['id']}").json()
    assert (deployment["state"], deployment["name"]) == ("running", "in-production")
    wait_until(lambda: notebook_answers(production, jane), "the notebook answers")
    jane.act(made["id"], "stop")
    assert jane.settled(made["id"])["state"] == "stopped"


def test_backups_are_made_by_themselves(production: Stack) -> None:
    wait_until(
        lambda: (
            "portal-backup"
            in production.compose("exec", "-T", "backup", "ls", "/backups", capture=True)
        ),
        "the first backup",
    )
