"""Answers of an OCSP responder with what a test needs in them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pki
from certificates.ocsp import Question, Said
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp as library

NOW = datetime.now(UTC)
STATUS = {
    Said.GOOD: library.OCSPCertStatus.GOOD,
    Said.REVOKED: library.OCSPCertStatus.REVOKED,
    Said.UNKNOWN: library.OCSPCertStatus.UNKNOWN,
}


def answer(
    question: Question,
    signer: pki.Issued,
    said: Said = Said.GOOD,
    *,
    about: x509.Certificate | None = None,
    authority: x509.Certificate | None = None,
    made: timedelta = timedelta(),
    lasts: timedelta | None = timedelta(minutes=30),
    nonce: bytes | None = b"",
    certificates: list[x509.Certificate] | None = None,
) -> bytes:
    """As a responder would make it; b"" repeats the nonce of the question."""
    at = NOW + made
    builder = (
        library.OCSPResponseBuilder()
        .add_response(
            about or question.certificate,
            authority or question.authority,
            hashes.SHA1(),
            STATUS[said],
            at,
            at + lasts if lasts else None,
            at if said is Said.REVOKED else None,
            None,
        )
        .responder_id(library.OCSPResponderEncoding.HASH, signer.certificate)
    )
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce or question.nonce), critical=False)
    if certificates:
        builder = builder.certificates(certificates)
    return builder.sign(signer.key, hashes.SHA256()).public_bytes(Encoding.DER)
