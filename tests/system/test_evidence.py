"""Evidence that is taken away: an export, and each event at the organisation's own collector."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from builds import ROOT, StackError
from harness import log_collector
from harness.fleet import TestVm
from harness.log_collector import PORT, Collector
from harness.people import Person, wait_until
from stack import Stack

SERVICE = ("--profile", "offload")


@pytest.fixture
def key(stack: Stack, tmp_path: Path) -> Path:
    """The public key, as it was kept when the portal was set up."""
    text = stack.compose(
        "exec", "-T", "worker", "python3", "admin.py", "audit", "key", capture=True
    )
    path = tmp_path / "audit.pub"
    path.write_text(text)
    return path


def verify(key: Path | None, path: Path) -> subprocess.CompletedProcess[str]:
    """Where there is no portal: Python's own modules alone."""
    script = str(ROOT / "scripts" / "verify-audit.py")
    trusted = ["--key", str(key)] if key else []
    command = [sys.executable, "-I", script, *trusted, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_an_export_is_verified_where_there_is_no_portal_with_the_key_of_before(
    stack: Stack, vm_a: TestVm, jane: Person, ray: Person, key: Path, tmp_path: Path
) -> None:
    jane.settled(jane.deploy("signed")["id"])
    exported = ray.http.get("/api/v1/audit/export")
    exported.raise_for_status()
    path = tmp_path / "audit.jsonl"
    path.write_bytes(exported.content)
    done = verify(key, path)
    assert done.returncode == 0, done.stderr
    lines = exported.content.decode().splitlines(keepends=True)
    documents = {
        said["document"]: said["content"] for said in map(json.loads, lines) if "document" in said
    }
    assert set(documents) == {"releases", "isolation", "cut-off", "restores"}
    assert documents["cut-off"], "the api has the guides"
    signed = {each["image"]: each["signed"] for each in documents["releases"]}
    assert '"version":"' in signed["ml-cpu"]["payload"], "the signature that let it start"
    path.write_text("".join([*lines[:20], *lines[21:]]))
    broken = verify(key, path)
    assert broken.returncode == 1
    assert "event 20 is missing" in broken.stderr


@pytest.fixture
def collector(stack: Stack, tmp_path: Path) -> Iterator[Collector]:
    """The organisation's rsyslog, and the service that sends to it, as the guide says."""
    tmp_path.chmod(0o755)
    with log_collector.collector(tmp_path) as made:
        network = docker.from_env().networks.get(f"{stack.project}_portal")
        network.connect(made.box)
        made.box.reload()
        address = made.box.attrs["NetworkSettings"]["Networks"][network.name]["IPAddress"]
        for file in (tmp_path / "tls").iterdir():
            file.chmod(0o644)
        inside = "/etc/portal/offload"
        before = dict(stack.settings)
        stack.settings |= {
            "PORTAL_OFFLOAD_TO": f"{address}:{PORT}",
            "PORTAL_OFFLOAD_NAME": log_collector.NAME,
            "PORTAL_OFFLOAD_FOLDER": str(tmp_path / "tls"),
            "PORTAL_OFFLOAD_CA_FILE": f"{inside}/ca.pem",
            "PORTAL_OFFLOAD_CERT_FILE": f"{inside}/portal.pem",
            "PORTAL_OFFLOAD_KEY_FILE": f"{inside}/portal.key",
        }
        try:
            # The others stay as they are.
            stack.compose(*SERVICE, "up", "-d", "--no-deps", "offload", capture=True)
            yield made
        finally:
            stack.compose(*SERVICE, "rm", "-sfv", "offload", capture=True)
            stack.settings.clear()
            stack.settings |= before


def test_each_event_is_at_the_collector_once_and_verifies_there(
    stack: Stack, vm_a: TestVm, jane: Person, ray: Person, collector: Collector
) -> None:
    def newest() -> int:
        return int(ray.http.get("/api/v1/audit", params={"limit": 1}).json()[0]["seq"])

    def has_all() -> bool:
        return collector.has_more_than(newest() - 1)

    wait_until(has_all, "the collector has what there was")
    collector.kill()
    jane.settled(jane.deploy("while-it-was-away")["id"])
    collector.start()
    wait_until(has_all, "the collector has what came while it was away")
    numbers = [json.loads(line[line.index("{") :])["seq"] for line in collector.lines()]
    assert sorted(set(numbers)) == list(range(1, len(set(numbers)) + 1)), "nothing is missing"
    assert numbers == sorted(numbers), "in order"
    done = verify(None, collector.log)  # its first checkpoint is made after an hour
    assert done.returncode == 0, done.stderr


def test_an_offload_to_nowhere_says_so(stack: Stack) -> None:
    with pytest.raises(StackError, match="PORTAL_OFFLOAD_TO is empty"):
        stack.compose("--profile", "offload", "run", "--rm", "-T", "offload", capture=True)
