"""The one file that names concrete classes: Settings → Portal, Authenticator, Reconciler."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, TextIO, cast

import httpx2
import structlog
from auth import Authenticator, KnownCards, Revocation
from certificates import revocation
from certificates.chain import authorities
from certificates.responders import Responders
from certificates.signing import SigningKey
from cryptography import x509
from directory.csv_file import CsvFile
from directory.ldap_server import LdapServer
from json_lines import JsonLines
from portal.context import Portal
from portal.core import catalog
from portal.core.directory import Directory, DirectorySettings
from portal.core.engine import Engine
from portal.core.models import Vm
from portal.core.settings import Settings
from portal.core.signatures import Sign
from portal.db.connection import Database
from registry.client import Registry
from registry.verifier import Verifier
from worker_client import WorkerClient

if TYPE_CHECKING:
    from docker_manager import DockerEngine
    from portal.jobs.reconciler import Reconciler
    from portal.monitoring.looks import Look

READY_PROBE_S = 1.0
MAX_ANSWER = 2**16
"""Bytes of a responder's: certificates of whom it lets sign are in it."""


def settings() -> Settings:
    """Settings from the environment; raises pydantic's ValidationError naming the variable."""
    return Settings()


def configure_logging(*, service: bool = True) -> None:
    """JSON lines: ours, uvicorn's, warnings of the libraries.

    Of a service whatever is printed, too; a command's own words are for people.
    """
    if service and not isinstance(sys.stderr, JsonLines):
        sys.stdout = JsonLines(sys.stdout, "info")
        sys.stderr = JsonLines(sys.stderr, "error")
    logging.captureWarnings(capture=True)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    json = structlog.processors.JSONRenderer()
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, json],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in ("uvicorn", "uvicorn.error"):  # it has given them handlers of its own by now
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    stream = cast("TextIO", sys.stderr)
    structlog.configure(
        processors=[*shared, json], logger_factory=structlog.PrintLoggerFactory(stream)
    )


def portal(
    config: Settings,
    wake: Callable[[], None] | None = None,
    cards: KnownCards | None = None,
) -> Portal:
    """The product over the real database; waking goes to the worker process unless given."""
    return Portal(
        settings=config,
        database=Database(config.database_url, config.database_password),
        catalog=catalog.load(config.images_dir),
        now=lambda: datetime.now(UTC),
        wake=wake or worker_client(config).wake,
        is_revoked=cards.is_revoked if cards else lambda _: False,
        card_counts=cards.counts if cards else lambda _: True,
        # Made when it is needed: the SSH door does not know the services' secret.
        sign_export=lambda *export: worker_client(config).sign_export(*export),
    )


def worker_client(config: Settings) -> WorkerClient:
    """The way to the worker's own endpoint."""
    return WorkerClient(config.worker_url, config.proxy_secret)


def authenticator(config: Settings) -> Authenticator:
    """Certificate verification with the configured authorities, revocation lists and responders."""
    return Authenticator(config, _revocation(config))


def audit_key(config: Settings) -> SigningKey | None:
    """What signs the audit trail, of the worker alone; None where it has no place for the key."""
    folder = config.audit_key_file.parent
    return SigningKey(config.audit_key_file) if folder.is_dir() else None


def known_cards(config: Settings) -> KnownCards:
    """What is known of cards that signed in before: for who reads no request of nginx's."""
    return KnownCards(client_authorities(config), config.policy_oids, _revocation(config))


def _revocation(config: Settings) -> Revocation | None:
    if config.revocation == revocation.OFF:
        return None
    lists = revocation.RevocationLists(
        config.crl_dir, client_authorities(config), config.revocation
    )
    lists.follow()
    return Responders(lists, config.ocsp, partial(_ask_responder, config)) if config.ocsp else lists


def _ask_responder(config: Settings, address: str, question: bytes) -> bytes:
    """An answer, within the deadline and MAX_ANSWER. OSError or ValueError where there is none.

    Certificates name responders by http: what they say is signed.
    """
    deadline, read = time.monotonic() + config.ocsp_timeout_s, b""
    headers = {"Content-Type": "application/ocsp-request", "Accept-Encoding": "identity"}
    try:
        with httpx2.stream(
            "POST",
            address,
            content=question,
            headers=headers,
            timeout=config.ocsp_timeout_s,
            trust_env=False,
        ) as answer:
            answer.raise_for_status()
            for chunk in answer.iter_raw():
                read += chunk
                if len(read) > MAX_ANSWER or time.monotonic() > deadline:
                    raise ValueError("its answer is too long, or takes too long")
    except httpx2.HTTPError as error:
        raise OSError(f"{type(error).__name__}: {error}") from error
    return read


def revocation_ends(config: Settings) -> dict[str, datetime]:
    """Until when the list of each authority counts; the epoch for those without one."""
    if config.revocation == revocation.OFF:
        return {}
    authorities = client_authorities(config)
    lists = revocation.by_authority(authorities, revocation.load(config.crl_dir, authorities))
    return {
        who: newest.next_update if newest else datetime.fromtimestamp(0, UTC)
        for who, newest in lists.items()
    }


def client_authorities(config: Settings) -> list[x509.Certificate]:
    """Who issues people's certificates: roots and intermediates, as far as they can be read."""
    return authorities(config.client_ca_file.read_bytes())[0]


def ping_registry(config: Settings) -> None:
    """Raise PortalError unless the registry answers with the configured credentials."""
    Registry(config).ping()


class Engines:
    """One DockerEngine per VM, made anew when its address changes."""

    def __init__(self, config: Settings) -> None:
        # The worker's alone; a third of what all others would load.
        from docker_manager import DockerEngine  # noqa: PLC0415

        self._config = config
        self._connect = DockerEngine
        self._engines: dict[int, tuple[str, DockerEngine]] = {}
        self._guard = threading.Lock()

    def __call__(self, vm: Vm) -> Engine:
        """The engine of a VM. Does not connect."""
        with self._guard:
            cached = self._engines.get(vm.id)
            if cached and cached[0] == vm.engine_url:
                return cached[1]
            engine = self._connect(vm, self._config)
            self._engines[vm.id] = (vm.engine_url, engine)
        if cached:
            cached[1].close()
        return engine


def reconciler(
    product: Portal,
    engines: Engines,
    woken: threading.Event,
    checks: Look | None = None,
    sign: Sign | None = None,
) -> Reconciler:
    """The worker's loop on real engines."""
    # Of the worker alone.
    from portal.jobs.directory import DirectoryLooks  # noqa: PLC0415
    from portal.jobs.leader import Leader  # noqa: PLC0415
    from portal.jobs.reconciler import Reconciler  # noqa: PLC0415

    client = httpx2.Client(timeout=READY_PROBE_S, trust_env=False)

    def is_ready(vm: Vm, port: int) -> bool:
        try:
            return client.get(f"http://{vm.address}:{port}/api").status_code == httpx2.codes.OK
        except httpx2.HTTPError:
            return False

    verify = Verifier(product.settings, product.database)
    config = DirectorySettings()
    asked = directory(config)
    leader = Leader(product)
    looks = None
    if asked:
        looks = DirectoryLooks(leader.fenced(), asked, config.interval_s, stops=config.stops)
    return Reconciler(product, engines, is_ready, verify, woken, looks, checks, sign, leader)


def directory(config: DirectorySettings) -> Directory | None:
    """The organisation's directory, where there is one."""
    if config.file:
        return CsvFile(config.file)
    return LdapServer(config) if config.servers else None
