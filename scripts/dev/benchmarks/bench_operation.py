"""Bench of operation: health check of a fleet, setup-vm.sh with nothing to do, revocation."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pki
from bench_images import timed
from certificates.revocation import STRICT, RevocationLists
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from harness.machines import Machines
from stack import ROOT, Stack

sys.path.append(str(ROOT / "tests" / "integration"))


VMS = 20
REVOKED = 100_000
ASKED = 10_000


def rows(stack: Stack, rounds: int) -> list[tuple[str, ...]]:
    """The bench table's rows."""
    return [_health(stack, rounds), _setup(stack, rounds), _revocation()]


def _health(stack: Stack, rounds: int) -> tuple[str, ...]:
    """health-check.sh with VMs none of which answers, against `docker compose ps`."""
    names = [f"bench-vm-{number:02}" for number in range(VMS)]
    for number, name in enumerate(names):
        stack.admin(
            "vm",
            "add",
            name,
            "--engine",
            f"ssh://portal@{name}.invalid",
            "--address",
            f"10.254.0.{number + 1}",
        )
    try:
        command = [str(ROOT / "scripts" / "health-check.sh"), "--json"]
        ours = [timed(lambda: _run(stack, command)) for _ in range(rounds)]
        plain = [timed(lambda: _run(stack, ["docker", "compose", "ps"])) for _ in range(rounds)]
    finally:
        for name in names:
            stack.admin("vm", "remove", name)
    return _row(f"health-check.sh of {VMS} VMs / docker compose ps", ours, plain, "s", "< 5 s")


def _setup(stack: Stack, rounds: int) -> tuple[str, ...]:
    """setup-vm.sh once more on a machine that it prepared, against one `ssh … true`."""
    machines = Machines(stack)
    try:
        machine = machines.add("debian-12", 222)
        arguments = ("--no-register", "--name", machine.name, machine.address)
        print("setup-vm.sh on a fresh machine ...", flush=True)
        first = machines.setup(*arguments)
        if first.returncode:
            raise SystemExit(first.stdout)
        ours = [timed(lambda: machines.setup(*arguments)) for _ in range(rounds)]
        ssh = [*machines.environment()["PORTAL_SSH"].split(), "-l", "ray", machine.address, "true"]
        plain = [timed(lambda: _run(stack, ssh)) for _ in range(rounds)]
    finally:
        machines.close()
    return _row("setup-vm.sh, nothing to do / ssh HOST true", ours, plain, "s", "< 10 s")


def _revocation() -> tuple[str, ...]:
    """One lookup in a list of 100,000 revoked certificates, against a call that just returns."""
    authority = pki.Authority("Bench")
    jane = authority.person("DOE.JANE.Q.1234567890", None).certificate
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "people.crl").write_bytes(_long_list(authority))
        lists = RevocationLists(
            Path(folder), [authority.root.certificate, authority.issuing.certificate], STRICT
        )
        loading = timed(lists.held)
        ours = [timed(lambda: lists.check(jane)) for _ in range(ASKED)]
    plain = [timed(lambda: None) for _ in range(ASKED)]
    print(f"a list of {REVOKED} was read and verified in {loading * 1e3:.0f} ms", flush=True)
    mine, peer = statistics.median(ours), statistics.median(plain)
    return (
        f"is a card on a list of {REVOKED:,} / a call",
        f"{mine * 1e6:.1f} us",
        f"{peer * 1e6:.2f} us",
        f"{mine / peer:.0f}",
        "< 100 us",
    )


def _long_list(authority: pki.Authority) -> bytes:
    now = datetime.now(UTC)
    entries = [
        x509.RevokedCertificateBuilder()
        .serial_number(x509.random_serial_number())
        .revocation_date(now)
        .build()
        for _ in range(REVOKED)
    ]
    builder = x509.CertificateRevocationListBuilder(
        authority.issuing.certificate.subject,
        now,
        now + timedelta(days=1),
        revoked_certificates=entries,
    )
    return builder.sign(authority.issuing.key, hashes.SHA256()).public_bytes(
        serialization.Encoding.DER
    )


def _run(stack: Stack, command: list[str]) -> None:
    subprocess.run(command, env=stack.variables(), capture_output=True, check=False, timeout=120)


def _row(what: str, ours: list[float], plain: list[float], unit: str, aim: str) -> tuple[str, ...]:
    mine, peer = statistics.median(ours), statistics.median(plain)
    return (what, f"{mine:.2f} {unit}", f"{peer:.2f} {unit}", f"{mine / peer:.1f}", aim)
