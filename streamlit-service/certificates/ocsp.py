"""One answer of an OCSP responder (RFC 6960): asked for, verified, and what it says."""

from __future__ import annotations

import enum
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import (
    AuthorityInformationAccessOID,
    ExtendedKeyUsageOID,
    SignatureAlgorithmOID,
)

SKEW = timedelta(minutes=5)
"""How far a responder's clock may be ahead of ours."""
LASTS = timedelta(hours=1)
"""An answer counts no longer, whatever it says: who is revoked is to be out."""
NONCE_BYTES = 16
"""RFC 9654, section 2.1: responders take up to 128, old ones up to 32."""


class Said(enum.Enum):
    """What a responder knows of a certificate."""

    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Answer:
    """What was said, when, and until when it counts."""

    said: Said
    until: datetime
    made: datetime


@dataclass(frozen=True)
class Question:
    """Of a certificate and the authority that issued it; `nonce` makes the answer be of now."""

    certificate: x509.Certificate
    authority: x509.Certificate
    nonce: bytes

    @classmethod
    def of(cls, certificate: x509.Certificate, authority: x509.Certificate) -> Question:
        """A new one."""
        return cls(certificate, authority, os.urandom(NONCE_BYTES))

    def der(self) -> bytes:
        """To be sent (RFC 6960, appendix A). By SHA-1: it names, and every responder knows it."""
        builder = ocsp.OCSPRequestBuilder().add_certificate(
            self.certificate,
            self.authority,
            hashes.SHA1(),  # noqa: S303
        )
        return (
            builder.add_extension(x509.OCSPNonce(self.nonce), critical=False)
            .build()
            .public_bytes(Encoding.DER)
        )


def address(certificate: x509.Certificate) -> str:
    """Where a certificate says that its responder is (RFC 5280, 4.2.2.1); "" where it does not."""
    try:
        access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess)
    except x509.ExtensionNotFound:
        return ""
    places = (
        each.access_location.value
        for each in access.value
        if each.access_method == AuthorityInformationAccessOID.OCSP
        and isinstance(each.access_location, x509.UniformResourceIdentifier)
    )
    return next((place for place in places if place.startswith(("http://", "https://"))), "")


def read(der: bytes, question: Question, now: datetime) -> Answer:
    """What an answer says. ValueError saying why it cannot be believed."""
    response = ocsp.load_der_ocsp_response(der)
    if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        raise ValueError(f"the responder says {response.response_status.name.lower()}")
    _check_signature(response, question.authority, now)
    _check_nonce(response, question.nonce)
    number = question.certificate.serial_number
    for single in response.responses:
        if single.serial_number == number and _is_of(single, question.authority):
            return _of(single, now)
    raise ValueError("it is about another certificate")


def _of(single: ocsp.OCSPSingleResponse, now: datetime) -> Answer:
    made, ends = single.this_update_utc, single.next_update_utc
    if made > now + SKEW:
        raise ValueError("it is from the future")
    until = ends or made + LASTS
    if until <= now:
        raise ValueError(f"it was good until {until:%Y-%m-%d %H:%M} UTC")
    said = {
        ocsp.OCSPCertStatus.GOOD: Said.GOOD,
        ocsp.OCSPCertStatus.REVOKED: Said.REVOKED,
        ocsp.OCSPCertStatus.UNKNOWN: Said.UNKNOWN,
    }[single.certificate_status]
    return Answer(said, min(until, now + LASTS), made)


def _check_nonce(response: ocsp.OCSPResponse, nonce: bytes) -> None:
    """One that is there is ours; responders that prepare their answers leave it out."""
    try:
        said = response.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
    except x509.ExtensionNotFound:
        return
    if said != nonce:
        raise ValueError("it answers another question")


def _is_of(single: ocsp.OCSPSingleResponse, authority: x509.Certificate) -> bool:
    """Whether it is about a certificate of this authority: by the hash of its key."""
    # Asked for as the library asks: the hash of the key's bits, without its algorithm (4.1.1).
    own = ocsp.OCSPRequestBuilder().add_certificate(authority, authority, single.hash_algorithm)
    return own.build().issuer_key_hash == single.issuer_key_hash


def _check_signature(
    response: ocsp.OCSPResponse, authority: x509.Certificate, now: datetime
) -> None:
    """By the authority, or by whom it lets answer in its place (RFC 6960, 4.2.2.2)."""
    signers = [authority, *_delegates(response.certificates, authority, now)]
    if not any(_is_signed(response, signer) for signer in signers):
        raise ValueError("its signer may not answer for this authority")


def _delegates(
    certificates: Sequence[x509.Certificate], authority: x509.Certificate, now: datetime
) -> list[x509.Certificate]:
    found = []
    for each in certificates:
        try:
            each.verify_directly_issued_by(authority)
            usages = each.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
            continue
        valid = each.not_valid_before_utc <= now < each.not_valid_after_utc
        if valid and ExtendedKeyUsageOID.OCSP_SIGNING in usages:
            found.append(each)
    return found


def _is_signed(response: ocsp.OCSPResponse, signer: x509.Certificate) -> bool:
    return any(
        _verifies(response, signer.public_key(), algorithm, scheme)
        for algorithm, scheme in _schemes(response)
    )


def _schemes(
    response: ocsp.OCSPResponse,
) -> list[tuple[hashes.HashAlgorithm, padding.AsymmetricPadding]]:
    """How it may be signed; the library does not say with which hash RSASSA-PSS is."""
    if response.signature_algorithm_oid == SignatureAlgorithmOID.RSASSA_PSS:
        return [
            (each, padding.PSS(padding.MGF1(each), padding.PSS.AUTO))
            for each in (hashes.SHA256(), hashes.SHA384(), hashes.SHA512())
        ]
    algorithm = response.signature_hash_algorithm
    if algorithm is None or isinstance(algorithm, (hashes.SHA1, hashes.MD5)):
        return []
    return [(algorithm, padding.PKCS1v15())]


def _verifies(
    response: ocsp.OCSPResponse,
    key: CertificatePublicKeyTypes,
    algorithm: hashes.HashAlgorithm,
    scheme: padding.AsymmetricPadding,
) -> bool:
    signed = response.tbs_response_bytes
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(response.signature, signed, scheme, algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(response.signature, signed, ec.ECDSA(algorithm))
        else:
            return False
    except InvalidSignature:
        return False
    return True
