"""Sends every event once, in order, however often either side is ended.

The cursor is a file: the number of the last event that the collector has answered for. Messages go
one at a time, so at most the one that was under way is sent twice: when the collector ended between
writing it and answering. Its number and hash show that it is the same (verify-audit.py does).
"""

from __future__ import annotations

import os
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import structlog
from portal import audit
from portal.audit import Link
from portal.context import Portal
from portal.core.errors import DatabaseTrouble
from portal.core.offload import OffloadSettings

from offload import message
from offload.relp import Relp

AT_ONCE = 500
POLL_S = 1.0
AGAIN_S = (1.0, 2.0, 5.0, 10.0, 30.0)
REPORT_EVERY_S = 5.0
log = structlog.get_logger()


class Cursor:
    """Number and hash of an event, in a file; whole, or as they were before."""

    def __init__(self, path: Path) -> None:
        words = path.read_text(encoding="ascii").split() if path.exists() else []
        self._path = path
        self.seq, self.hash = (int(words[0]), words[1]) if len(words) == 2 else (0, "")
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def move(self, link: Link) -> None:
        """To where the collector has everything. One write of one length is never half done."""
        os.pwrite(self._file, b"%-20d %s\n" % (link.seq, link.hash.encode()), 0)
        self.seq, self.hash = link.seq, link.hash

    @property
    def moved_at(self) -> datetime:
        """When it was moved last."""
        return datetime.fromtimestamp(self._path.stat().st_mtime, UTC)

    def close(self) -> None:
        """Have it on the disk."""
        os.fsync(self._file)
        os.close(self._file)


class Sender:
    """Runs until stopped, in one thread."""

    def __init__(
        self, portal: Portal, config: OffloadSettings, connect: Callable[[], Relp] | None = None
    ) -> None:
        self._portal, self._config = portal, config
        self._connect = connect or self._connected
        self._cursor = Cursor(config.cursor_file)
        self._stopping = threading.Event()
        self._reported_at, self._reported = 0.0, ""
        self._problem = ""
        """That what was sent and what is here differ: it stays so until somebody looked."""

    def stop(self) -> None:
        """End after the message that is under way."""
        self._stopping.set()

    def run(self) -> None:
        """Connect, send what there is, wait for more; after trouble again, later and later."""
        failures = 0
        while not self._stopping.is_set():
            try:
                with self._connect() as relp:
                    self._report(self._problem)
                    failures = 0
                    self._send_all(relp)
            except (OSError, DatabaseTrouble) as error:
                problem = getattr(error, "message", "") or f"{type(error).__name__}: {error}"
                log.warning("offload_interrupted", cause=problem, sent=self._cursor.seq)
                self._report(problem)
                self._stopping.wait(AGAIN_S[min(failures, len(AGAIN_S) - 1)])
                failures += 1
        self._cursor.close()

    def _send_all(self, relp: Relp) -> None:
        while not self._stopping.is_set():
            at = (self._cursor.seq, self._cursor.hash, AT_ONCE, self._cursor.moved_at)
            found = audit.after(self._portal, *at)
            for link in found.links:
                relp.send(message.of(link, self._portal.settings.public_host))
                self._cursor.move(link)
                if self._stopping.is_set():
                    break
            self._problem = found.problem or self._problem
            self._report(self._problem)
            if len(found.links) < AT_ONCE:
                self._stopping.wait(POLL_S)

    def _report(self, problem: str) -> None:
        """Now and then, and what changes at once, for Health."""
        now = time.monotonic()
        if problem == self._reported and now - self._reported_at < REPORT_EVERY_S:
            return
        self._reported_at, self._reported = now, problem
        with suppress(DatabaseTrouble):
            audit.report_offload(self._portal, self._cursor.seq, problem)

    def _connected(self) -> Relp:
        config = self._config
        tls = ssl.create_default_context(cafile=config.ca_file)
        tls.minimum_version = ssl.TLSVersion.TLSv1_2
        if config.cert_file:
            tls.load_cert_chain(config.cert_file, config.key_file or config.cert_file)
        host, _, port = config.to.rpartition(":")
        host = host.strip("[]")
        return Relp(host, int(port), tls, config.name or host, config.timeout_s)
