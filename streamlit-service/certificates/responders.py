"""OCSP beside the revocation lists: what responders say of a card, remembered, asked in time.

Nobody's request waits for a responder that is slow: what was said is kept, and asked again while
it still counts. Either source may refuse a card.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog
from cachetools import LRUCache
from cryptography import x509
from portal.core.errors import NotAuthenticated

from certificates import ocsp
from certificates.crl import key_of
from certificates.ocsp import Answer, Question, Said
from certificates.revocation import Card, revoked

BY_CERTIFICATE = "certificate"
"""The setting for: each certificate says where its responder is."""
AGAIN = timedelta(seconds=60)
"""Who is here is asked about so often: a revocation counts that soon."""
AGAIN_AFTER_FAILURE = timedelta(seconds=10)
LATELY = 2 * AGAIN
FIRST_S = 4.0
"""How long somebody's first request waits for what a responder says."""
KEPT, AT_ONCE = 20_000, 8
NEVER_ASKED = datetime.min.replace(tzinfo=UTC)
Key = tuple[bytes, x509.Name, int]
log = structlog.get_logger()


class Lists(Protocol):
    """What the lists say; revocation.RevocationLists."""

    def check(self, card: Card, *, patient: bool = False) -> None:
        """Raise NotAuthenticated when the card is revoked or cannot be known to be good."""


@dataclass
class _Known:
    """What was said of a certificate last, and when to ask again."""

    answer: Answer | None = None
    renewed_at: datetime = NEVER_ASKED
    """When that was said, or when the responder could not be asked."""
    ask_at: datetime = NEVER_ASKED
    asking: threading.Event | None = None


class Responders:
    """Thread-safe. `send` posts a question to an address; OSError or ValueError where it fails."""

    def __init__(self, lists: Lists, where: str, send: Callable[[str, bytes], bytes]) -> None:
        self._lists, self._where, self._send = lists, where, send
        self._known: LRUCache[Key, _Known] = LRUCache(KEPT)
        self._guard = threading.Lock()
        self._threads = ThreadPoolExecutor(AT_ONCE, "ocsp")

    def check(self, card: Card, *, patient: bool = False) -> None:
        """As the lists do; a good answer counts where no list speaks for the card.

        `patient`: where nothing was said of it lately, the question is waited for, FIRST_S at most.
        """
        said = {self._said(path[0], path[1], patient=patient) for path in card.paths}
        if Said.REVOKED in said:
            raise revoked()
        try:
            self._lists.check(card)
        except NotAuthenticated as error:
            if error.code != "revocation_unknown" or Said.GOOD not in said:
                raise

    def _said(
        self, certificate: x509.Certificate, authority: x509.Certificate, *, patient: bool
    ) -> Said:
        now = datetime.now(UTC)
        address = ocsp.address(certificate) if self._where == BY_CERTIFICATE else self._where
        if not address:
            return Said.UNKNOWN
        with self._guard:
            # Two authorities may have one name, and each a certificate of this number.
            known = self._known.setdefault(
                (key_of(authority), certificate.issuer, certificate.serial_number), _Known()
            )
            if known.asking is None and now >= known.ask_at:
                known.asking = threading.Event()
                self._threads.submit(self._ask, known, address, certificate, authority)
            said, asking = _now(known, now), known.asking
        if said is Said.UNKNOWN and patient and asking is not None:
            asking.wait(FIRST_S)
            with self._guard:
                said = _now(known, datetime.now(UTC))
        return said

    def _ask(
        self,
        known: _Known,
        address: str,
        certificate: x509.Certificate,
        authority: x509.Certificate,
    ) -> None:
        question = Question.of(certificate, authority)
        answer, again = None, AGAIN_AFTER_FAILURE
        try:
            answer = ocsp.read(self._send(address, question.der()), question, datetime.now(UTC))
            again = AGAIN
        except (OSError, ValueError) as error:
            log.warning("responder_silent", address=address, cause=str(error))
        except Exception:  # nobody may wait for ever for what was strange
            log.exception("responder_strange", address=address)
        with self._guard:
            now = datetime.now(UTC)
            # What was said before counts until its end, whatever keeps a responder from answering.
            known.answer = _newer(known.answer, answer)
            known.renewed_at, known.ask_at = now, now + again
            asked, known.asking = known.asking, None
        if asked is not None:
            asked.set()


def _newer(before: Answer | None, now: Answer | None) -> Answer | None:
    """Of two answers the one that counts: an old one may be played back by anybody on the way."""
    if now is None or before is None:
        return now or before
    if now.made < before.made or (now.said is Said.UNKNOWN and before.said is Said.REVOKED):
        return before
    return now


def _now(known: _Known, now: datetime) -> Said:
    """A revocation counts until the responder says otherwise; what is good, until it ends.

    Or until it was not renewed for long: whoever comes after a while is asked about first.
    """
    answer = known.answer
    if answer is None:
        return Said.UNKNOWN
    lately = now - known.renewed_at <= LATELY
    return (
        answer.said
        if answer.said is Said.REVOKED or (lately and now < answer.until)
        else Said.UNKNOWN
    )
