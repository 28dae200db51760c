"""Bench of the gateway's question in a large portal: many people, four long lists, a responder."""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from urllib.parse import quote

import bench_people
import httpx2
import pki
from builds import ROOT
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID
from portal.db.connection import Database
from rows import Row, Sizes, row, timed

AUTHORITIES = 4
JANE = "DOE.JANE.Q.1000000000"
"""The first of the people that bench_people makes; her notebook is at the first port."""
PORT = 10000
BOOT_S = 30.0
PAUSE_S = 0.002
SECRET = "only-nginx-knows"  # noqa: S105  (of a server that ends with the benchmark)


def benchmarks(sizes: Sizes) -> dict[str, Callable[[], Row]]:
    """The rows, by name."""
    return {
        "authz, large": lambda: _large(sizes),
        "authz, new list": lambda: _new_list(sizes),
    }


def _large(sizes: Sizes) -> Row:
    """One decision over one connection, against the same server answering 404."""
    with _authz(sizes) as server, server.client() as http:
        decided = [timed(lambda: _allowed(http)) for _ in range(sizes.calls)]
        floor = [timed(lambda: http.get("/none")) for _ in range(sizes.calls)]
    what = f"/authz, {sizes.people:,} people, 4 lists of {sizes.revoked:,}, OCSP / 404"
    return row(what, decided, floor, "<= 1.30", "ms")


def _new_list(sizes: Sizes) -> Row:
    """The slowest of a hundred decisions while lists are replaced, against the same at rest."""
    with _authz(sizes) as server, server.client() as http:
        every_s = sizes.new_list_every_s
        span_s = every_s * sizes.rounds
        at_rest = _decisions(http, span_s)
        done = threading.Event()
        renewing = threading.Thread(target=server.renew_lists, args=(done, every_s))
        renewing.start()
        try:
            renewed = _decisions(http, span_s)
        finally:
            done.set()
            renewing.join()
    what = f"/authz p99 while lists of {sizes.revoked:,} are replaced / at rest"
    return Row(what, _p99(renewed), _p99(at_rest), "<= 1.20", "ms")


def _decisions(http: httpx2.Client, span_s: float) -> list[float]:
    took, deadline = list[float](), time.monotonic() + span_s
    while time.monotonic() < deadline:
        took.append(timed(lambda: _allowed(http)))
        time.sleep(PAUSE_S)  # not a flood: a list must be read meanwhile, on two cores
    return took


def _p99(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=100)[-1]


def _allowed(http: httpx2.Client) -> None:
    status = http.get("/authz").status_code
    if status != httpx2.codes.NO_CONTENT:
        raise RuntimeError(f"/authz answers {status}")


@dataclass(frozen=True)
class _Server:
    """A real authz, and what it reads."""

    port: int
    card: bytes
    crls: Path
    renewed: list[bytes]
    """Another list of the first authority than the one that is there, and that one."""

    def client(self) -> httpx2.Client:
        """One connection, as nginx keeps them."""
        headers = {
            "X-Proxy-Secret": SECRET,
            "X-Client-Verify": "SUCCESS",
            "X-Client-Cert": quote(self.card.decode()),
            "X-Gateway-Port": str(PORT),
        }
        address = f"http://127.0.0.1:{self.port}"
        return httpx2.Client(base_url=address, headers=headers, trust_env=False)

    def renew_lists(self, done: threading.Event, every_s: float) -> None:
        """Replace a list again and again, as a fetch does."""
        for number in count():
            if done.wait(every_s):
                return
            fresh = self.crls / "fresh"
            fresh.write_bytes(self.renewed[number % len(self.renewed)])
            fresh.replace(self.crls / "0.crl")


@contextmanager
def _authz(sizes: Sizes) -> Iterator[_Server]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        authorities = [pki.Authority(f"Bench {number}") for number in range(AUTHORITIES)]
        crls = home / "crls"
        crls.mkdir()
        for number, each in enumerate(authorities):
            (crls / f"{number}.crl").write_bytes(long_list(each, sizes.revoked))
        renewed = [long_list(authorities[0], sizes.revoked), (crls / "0.crl").read_bytes()]
        jane = authorities[0].person(JANE, None)
        (home / "bundle").write_bytes(b"".join(each.bundle for each in authorities))
        (home / "secret").write_text(SECRET)
        database = Database(f"sqlite:///{home}/bench.db")
        database.migrate()
        bench_people.fill(database, sizes.people)
        database.close()
        with (
            _responder(home, authorities[0], jane) as responder,
            _serving(home, responder) as port,
        ):
            server = _Server(port, pki.pem(jane.certificate), crls, renewed)
            with server.client() as http:
                _until(lambda: http.get("/authz").status_code == httpx2.codes.NO_CONTENT)
            yield server


@contextmanager
def _responder(home: Path, authority: pki.Authority, card: pki.Issued) -> Iterator[str]:
    """A real one (openssl ocsp), which knows one card."""
    folder = home / "ocsp"
    folder.mkdir()
    signer = authority.person("Responder", None, usages=[ExtendedKeyUsageOID.OCSP_SIGNING])
    signer.write(folder, "signer")
    (folder / "ca.crt").write_bytes(pki.pem(authority.issuing.certificate))
    ends = f"{card.certificate.not_valid_after_utc:%y%m%d%H%M%SZ}"
    number = f"{card.certificate.serial_number:X}"
    number = number.zfill(len(number) + len(number) % 2)
    (folder / "index").write_text(f"V\t{ends}\t\t{number}\tunknown\t/CN=card\n")  # openssl-ca(1)
    port = _free_port()
    keys = ("-rsigner", "signer.crt", "-rkey", "signer.key")
    command = ("openssl", "ocsp", "-port", str(port), "-index", "index", "-CA", "ca.crt", *keys)
    with _running((*command, "-nmin", "30"), folder):
        yield f"http://127.0.0.1:{port}/"


@contextmanager
def _serving(home: Path, responder: str) -> Iterator[int]:
    port = _free_port()
    settings = {
        "PORTAL_DATABASE_URL": f"sqlite:///{home}/bench.db",
        "PORTAL_CLIENT_CA_FILE": str(home / "bundle"),
        "PORTAL_PROXY_SECRET_FILE": str(home / "secret"),
        "PORTAL_CRL_DIR": str(home / "crls"),
        "PORTAL_IMAGES_DIR": str(ROOT / "images"),
        "PORTAL_REVOCATION": "strict",
        "PORTAL_OCSP": responder,
        "PORTAL_USER_PORTS": "10000-65499",
        "PORTAL_DORMANT_DAYS": "0",
    }
    command = (sys.executable, "serve.py", "authz:create_app", str(port))
    with _running(command, ROOT / "streamlit-service", settings):
        yield port


@contextmanager
def _running(
    command: tuple[str, ...], folder: Path, settings: dict[str, str] | None = None
) -> Iterator[None]:
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | (settings or {}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


def _until(so: Callable[[], bool]) -> None:
    """Wait until a server is up and answers so. TimeoutError after BOOT_S."""
    deadline = time.monotonic() + BOOT_S
    while True:
        try:
            if so():
                return
        except httpx2.HTTPError:
            pass  # it does not listen yet
        if time.monotonic() > deadline:
            raise TimeoutError("authz does not answer as it should")
        time.sleep(0.1)  # polling a boot


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def long_list(authority: pki.Authority, entries: int) -> bytes:
    """A revocation list of an authority with so many that nobody has, DER."""
    now = datetime.now(UTC)
    revoked = [
        x509.RevokedCertificateBuilder()
        .serial_number(x509.random_serial_number())
        .revocation_date(now)
        .build()
        for _ in range(entries)
    ]
    builder = x509.CertificateRevocationListBuilder(
        authority.issuing.certificate.subject,
        now,
        now + timedelta(days=1),
        revoked_certificates=revoked,
    )
    return builder.sign(authority.issuing.key, hashes.SHA256()).public_bytes(
        serialization.Encoding.DER
    )
