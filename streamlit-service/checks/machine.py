"""What the worker sees of its own machine: services, disk, clock, certificates."""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from portal.core.health import Status
from portal.core.settings import Settings

SERVICES = {"api": 8000, "authz": 8000, "ui": 8501, "ssh-door": 2222}
"""As the compose files name them, on the network that the worker shares."""
CONNECT_S = 2.0
DATA = Path("/var/lib/portal")
SERVER_CERT = Path("/run/secrets/server_cert")
DISK_WARNING, DISK_CRITICAL = 85, 95
"""Percent, as in health-check.sh by default."""
CERTIFICATE_WARNING_DAYS = 30
PUBLIC_BUNDLE = 50
"""Of more authorities than this none is the organisation's own."""
UNSYNCHRONISED = 0x40
"""STA_UNSYNC of adjtimex(2)."""


def checks(config: Settings) -> Iterator[Status]:
    """All of it; outside of a container of the compose files only what is there."""
    if not SERVER_CERT.is_file():
        return
    yield from _services()
    yield from _disk()
    yield from _clock()
    now = datetime.now(UTC)
    yield from _certificates(SERVER_CERT, "the server", now)
    yield from _certificates(config.client_ca_file, "the authorities of people", now)
    if config.registry_ca_file:
        yield from _certificates(config.registry_ca_file, "the registry's authority", now)


def _services() -> Iterator[Status]:
    for name, port in SERVICES.items():
        try:
            with socket.create_connection((name, port), timeout=CONNECT_S):
                pass
        except OSError as error:
            yield Status(
                "critical",
                "services",
                name,
                f"The service {name} does not answer: {error.strerror or error}.",
                f"docker compose up -d {name}; docker compose logs --tail 50 {name}",
                "service-down",
            )
        else:
            yield Status("ok", "services", name, f"The service {name} answers.")


def _disk() -> Iterator[Status]:
    seen = os.statvfs(DATA)
    taken = seen.f_blocks - seen.f_bfree
    used = 100 * taken / max(1, taken + seen.f_bavail)  # as df(1): what root keeps is neither
    free = seen.f_bavail * seen.f_frsize / 2**30
    said = f"The disk of the portal's machine is {used:.0f} % full ({free:.0f} GB free)."
    if used < DISK_WARNING:
        yield Status("ok", "disk", "this machine", said)
        return
    state = "critical" if used >= DISK_CRITICAL else "warning"
    yield Status(state, "disk", "this machine", said, "docker system df", "disk-full")


def _clock() -> Iterator[Status]:
    """adjtimex(2), of which the first member after `modes` and four longs is the status."""
    timex = (ctypes.c_byte * 256)()
    if ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex)) < 0:
        return
    status = ctypes.c_int.from_buffer(timex, 5 * ctypes.sizeof(ctypes.c_long)).value
    if status & UNSYNCHRONISED:
        yield Status(
            "warning",
            "clock",
            "this machine",
            "The clock is not synchronised: certificates and audit times depend on it.",
            "chronyc tracking",
            "clock",
        )
    else:
        yield Status("ok", "clock", "this machine", "The clock is synchronised.")


def _certificates(path: Path, whose: str, now: datetime) -> Iterator[Status]:
    """When each of a file ends."""
    show = f"openssl storeutl -noout -text -certs secrets/{path.name}"
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError):
        said = f"secrets/{path.name} holds something that is no certificate."
        yield Status("warning", "certificate", whose, said, show, "certificates")
        return
    if len(found) > PUBLIC_BUNDLE:
        return
    for certificate in found:
        name = certificate.subject.rfc4514_string() or whose
        left = (certificate.not_valid_after_utc - now).days
        until = f"{certificate.not_valid_after_utc:%Y-%m-%d}"
        if certificate.not_valid_after_utc <= now:
            said, state = f"The certificate of {name} ({whose}) expired on {until}.", "critical"
        elif left < CERTIFICATE_WARNING_DAYS:
            said, state = f"The certificate of {name} ({whose}) expires in {left} days.", "warning"
        else:
            said = f"The certificate of {name} ({whose}) is good until {until}."
            yield Status("ok", "certificate", name, said)
            continue
        yield Status(state, "certificate", name, said, show, "certificates")
