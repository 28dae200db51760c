"""What OCSP responders say: believed only signed, current and about this card; nobody waits long.

The answers are made here; tests/component/test_ocsp.py asks a real responder.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pki
import pytest
from certificates import ocsp, responders, revocation
from certificates.chain import certification_paths
from certificates.ocsp import Question, Said
from certificates.responders import Responders
from certificates.revocation import Card, RevocationLists
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp as library
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID
from portal.core.errors import NotAuthenticated
from support.answers import answer
from support.lists import bundle

NOW = datetime.now(UTC)
ADDRESS = "http://ocsp.example/"


@pytest.fixture
def question(authority: pki.Authority, jane: x509.Certificate) -> Question:
    return Question.of(jane, authority.issuing.certificate)


def delegate(authority: pki.Authority, *usages: x509.ObjectIdentifier, days: int = 9) -> pki.Issued:
    """Somebody whom the authority lets answer, or not."""
    return authority.person("OCSP Responder", None, usages=list(usages), days=days)


@pytest.mark.parametrize("said", Said)
def test_the_authority_says_itself_what_a_card_is(
    authority: pki.Authority, question: Question, said: Said
) -> None:
    read = ocsp.read(answer(question, authority.issuing, said), question, NOW)
    assert read.said is said
    assert timedelta(minutes=29) < read.until - NOW < timedelta(minutes=31)


def test_a_responder_that_it_lets_answer_is_believed(
    authority: pki.Authority, question: Question
) -> None:
    other = delegate(authority, ExtendedKeyUsageOID.OCSP_SIGNING)
    der = answer(question, other, certificates=[other.certificate])
    assert ocsp.read(der, question, NOW).said is Said.GOOD


def test_answers_that_are_prepared_have_no_nonce_and_no_end_may_be_given(
    authority: pki.Authority, question: Question
) -> None:
    prepared = answer(question, authority.issuing, nonce=None, made=timedelta(minutes=-50))
    with pytest.raises(ValueError, match="was good until"):
        ocsp.read(prepared, question, NOW)
    endless = answer(question, authority.issuing, nonce=None, lasts=None)
    assert ocsp.read(endless, question, NOW).until <= NOW + ocsp.LASTS
    long = answer(question, authority.issuing, lasts=timedelta(days=7))
    assert ocsp.read(long, question, NOW).until <= NOW + ocsp.LASTS


def lies(authority: pki.Authority, question: Question) -> dict[str, bytes]:
    """What is not to be believed."""
    stranger = pki.Authority("Other")
    mail = delegate(authority, ExtendedKeyUsageOID.EMAIL_PROTECTION)
    foreign = delegate(stranger, ExtendedKeyUsageOID.OCSP_SIGNING)
    own = authority.issuing
    good = answer(question, own)
    return {
        "another authority's": answer(question, stranger.issuing),
        "a delegate of another's": answer(question, foreign, certificates=[foreign.certificate]),
        "somebody's who may not": answer(question, mail, certificates=[mail.certificate]),
        "signer not shown": answer(question, delegate(authority, ExtendedKeyUsageOID.OCSP_SIGNING)),
        "another card": answer(
            question, own, about=authority.person("ROE.J.1111111111", None).certificate
        ),
        "another issuer's card of this number": answer(
            question, own, authority=stranger.issuing.certificate
        ),
        "another question": answer(question, own, nonce=b"n" * 16),
        "from the future": answer(question, own, made=timedelta(hours=1)),
        "stale": answer(question, own, made=timedelta(hours=-2)),
        "changed": good[:-20] + bytes([good[-20] ^ 1]) + good[-19:],
        "no answer": b"<html>",
        "try later": library.OCSPResponseBuilder.build_unsuccessful(
            library.OCSPResponseStatus.TRY_LATER
        ).public_bytes(Encoding.DER),
    }


LIES = (
    *("another authority's", "a delegate of another's", "somebody's who may not"),
    *("signer not shown", "another card", "another issuer's card of this number"),
    *("another question", "from the future", "stale", "changed", "no answer", "try later"),
)


@pytest.mark.parametrize("lie", LIES)
def test_what_cannot_be_believed_says_nothing(
    authority: pki.Authority, question: Question, lie: str
) -> None:
    with pytest.raises(ValueError, match=r".+"):
        ocsp.read(lies(authority, question)[lie], question, NOW)


def test_a_card_says_where_its_responder_is(authority: pki.Authority, jane: Any) -> None:
    assert ocsp.address(jane) == ""


class Responder:
    """Stands in for one: answers as it is told, and counts."""

    def __init__(self, authority: pki.Authority, jane: x509.Certificate) -> None:
        self.authority, self.jane = authority, jane
        self.said = Said.GOOD
        self.trouble: Exception | None = None
        self.asked = 0
        self.may_answer = threading.Event()
        self.may_answer.set()

    def send(self, address: str, der: bytes) -> bytes:
        assert address == ADDRESS
        self.asked += 1
        self.may_answer.wait(10)
        if self.trouble:
            raise self.trouble
        nonce = library.load_der_ocsp_request(der).extensions[0].value.nonce
        question = Question(self.jane, self.authority.issuing.certificate, nonce)
        return answer(question, self.authority.issuing, self.said)


@pytest.fixture
def responder(authority: pki.Authority, jane: x509.Certificate) -> Responder:
    return Responder(authority, jane)


@pytest.fixture
def card(authority: pki.Authority, jane: x509.Certificate) -> Card:
    return Card(certification_paths(jane, bundle(authority), frozenset(), NOW))


@pytest.fixture
def made(
    responder: Responder, folder: Path, authority: pki.Authority, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Responders]:
    """Asked again at once."""
    monkeypatch.setattr(responders, "AGAIN", timedelta())
    monkeypatch.setattr(responders, "AGAIN_AFTER_FAILURE", timedelta())

    def make(mode: str = revocation.STRICT) -> Responders:
        lists = RevocationLists(folder, bundle(authority), mode)
        return Responders(lists, ADDRESS, responder.send)

    return make


def refused(source: Responders, card: Card, *, patient: bool = True) -> str:
    try:
        source.check(card, patient=patient)
    except NotAuthenticated as reason:
        return reason.code
    return ""


def eventually(so: Callable[[], bool]) -> None:
    tick = threading.Event()
    for _ in range(500):
        if so():
            return
        tick.wait(0.01)
    raise AssertionError("not in 5 s")


def test_a_good_word_lets_in_where_no_list_speaks(
    made: Callable[..., Responders], card: Card
) -> None:
    assert refused(made(), card) == ""


def test_either_source_refuses(
    made: Callable[..., Responders],
    card: Card,
    responder: Responder,
    put: Callable[..., None],
    authority: pki.Authority,
    jane: x509.Certificate,
) -> None:
    both = made()
    put(authority.revocation_list(jane))
    assert refused(both, card) == "revoked"
    put(authority.revocation_list(starts=timedelta(seconds=1)))
    assert refused(both, card) == ""
    responder.said = Said.REVOKED
    eventually(lambda: refused(both, card) == "revoked")
    responder.said = Said.GOOD  # off hold again
    eventually(lambda: refused(both, card) == "")


def test_a_certificate_of_the_same_number_of_a_twin_is_asked_about_itself(
    made: Callable[..., Responders],
    card: Card,
    responder: Responder,
    authority: pki.Authority,
    jane: x509.Certificate,
) -> None:
    """As after an authority was given a new key: the same name, and numbers from the beginning."""
    twin = pki.Authority("Test")
    assert twin.issuing.certificate.subject == authority.issuing.certificate.subject
    builder = (
        x509.CertificateBuilder()
        .subject_name(jane.subject)
        .issuer_name(jane.issuer)
        .public_key(jane.public_key())
        .serial_number(jane.serial_number)
        .not_valid_before(jane.not_valid_before_utc)
        .not_valid_after(jane.not_valid_after_utc)
    )
    for extension in jane.extensions:
        if extension.oid != ExtensionOID.AUTHORITY_KEY_IDENTIFIER:
            builder = builder.add_extension(extension.value, extension.critical)
    key = x509.AuthorityKeyIdentifier.from_issuer_public_key(twin.issuing.key.public_key())
    theirs = builder.add_extension(key, critical=False).sign(twin.issuing.key, hashes.SHA256())
    paths = certification_paths(theirs, bundle(twin), frozenset(), NOW)
    source = made()
    assert refused(source, card) == ""
    responder.authority, responder.jane, responder.said = twin, theirs, Said.REVOKED
    assert refused(source, Card(paths)) == "revoked"


@pytest.mark.parametrize("mode", [revocation.STRICT, revocation.SOFT])
@pytest.mark.parametrize(
    "trouble", [OSError("silent"), ValueError("no address"), RuntimeError("strange"), None]
)
def test_a_responder_that_says_nothing_refuses_nobody_but_where_strict_and_no_list_is_there(
    made: Callable[..., Responders],
    card: Card,
    responder: Responder,
    put: Callable[..., None],
    authority: pki.Authority,
    mode: str,
    trouble: Exception | None,
) -> None:
    responder.trouble, responder.said = trouble, Said.UNKNOWN
    source = made(mode)
    expected = "revocation_unknown" if mode == revocation.STRICT else ""
    assert refused(source, card) == expected
    put(authority.revocation_list())
    assert refused(source, card) == ""


def test_what_was_said_counts_while_the_responder_is_away(
    made: Callable[..., Responders], card: Card, responder: Responder
) -> None:
    source = made()
    assert refused(source, card) == ""
    responder.trouble = OSError("away")
    asked = responder.asked
    eventually(lambda: refused(source, card) == "" and responder.asked > asked + 2)
    assert refused(source, card) == ""


def test_who_may_not_wait_asks_and_goes_on(
    made: Callable[..., Responders], card: Card, responder: Responder
) -> None:
    responder.may_answer.clear()
    source = made()
    assert refused(source, card, patient=False) == "revocation_unknown"
    responder.may_answer.set()
    eventually(lambda: refused(source, card, patient=False) == "")


def test_who_comes_after_a_while_is_asked_about_first(
    made: Callable[..., Responders],
    card: Card,
    responder: Responder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = made()
    assert refused(source, card) == ""
    monkeypatch.setattr(responders, "LATELY", timedelta())
    responder.said = Said.REVOKED
    assert refused(source, card) == "revoked"


def test_an_older_answer_and_a_responder_that_knows_nothing_take_no_revocation_back(
    authority: pki.Authority, question: Question
) -> None:
    own = authority.issuing
    revoked = ocsp.read(answer(question, own, Said.REVOKED), question, NOW)
    played_back = answer(question, own, made=timedelta(days=-1), lasts=timedelta(days=7))
    unknown = answer(question, own, Said.UNKNOWN)
    for der in (played_back, unknown):
        later = ocsp.read(der, question, NOW)
        assert responders._newer(revoked, later) is revoked
    good = ocsp.read(answer(question, own, made=timedelta(seconds=1)), question, NOW)
    assert responders._newer(revoked, good) is good


def test_many_who_ask_at_once_are_one_question(
    made: Callable[..., Responders],
    card: Card,
    responder: Responder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(responders, "AGAIN", timedelta(minutes=1))
    source, answers = made(), []
    threads = [
        threading.Thread(target=lambda: answers.append(refused(source, card))) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (answers, responder.asked) == ([""] * 20, 1)
