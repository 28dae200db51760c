"""Signatures of revocation lists, cut out of what was read: the same answers as the library's."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from certificates.signature import is_valid
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP384R1())
ED = ed25519.Ed25519PrivateKey.generate()
PSS = padding.PSS(padding.MGF1(hashes.SHA384()), hashes.SHA384().digest_size)
NOW = datetime.now(UTC)
KEYS: dict[str, Callable[[x509.CertificateRevocationListBuilder], Any]] = {
    "RSA": lambda list_: list_.sign(RSA, hashes.SHA256()),
    "RSA-PSS": lambda list_: list_.sign(RSA, hashes.SHA384(), rsa_padding=PSS),
    "ECDSA": lambda list_: list_.sign(EC, hashes.SHA384()),
    "Ed25519": lambda list_: list_.sign(ED, None),
}
PUBLIC: dict[str, Any] = {"RSA": RSA, "RSA-PSS": RSA, "ECDSA": EC, "Ed25519": ED}


def signed(how: str, entries: int = 3) -> bytes:
    builder = x509.CertificateRevocationListBuilder().issuer_name(x509.Name([]))
    builder = builder.last_update(NOW).next_update(NOW + timedelta(days=1))
    for number in range(entries):
        entry = x509.RevokedCertificateBuilder().serial_number(77777 + number)
        builder = builder.add_revoked_certificate(entry.revocation_date(NOW).build())
    return bytes(KEYS[how](builder).public_bytes(Encoding.DER))


def valid(der: bytes, key: Any) -> bool:
    return is_valid(x509.load_der_x509_crl(der), der, key)


@pytest.mark.parametrize("how", KEYS)
@pytest.mark.parametrize("entries", [0, 1, 3000])  # lengths of one, two and three bytes
def test_a_list_of_the_key_is_valid_and_a_changed_one_is_not(how: str, entries: int) -> None:
    key, der = PUBLIC[how].public_key(), signed(how, entries)
    assert valid(der, key)
    year = NOW.strftime("%y%m%d").encode()
    at = der.index(year)
    assert not valid(der[:at] + b"20" + der[at + 2 :], key)


@pytest.mark.parametrize("how", KEYS)
@pytest.mark.parametrize("other", KEYS)
def test_a_list_of_another_key_is_not_valid(how: str, other: str) -> None:
    if PUBLIC[how] is PUBLIC[other]:
        return
    key = PUBLIC[other].public_key()
    try:
        assert not valid(signed(how), key)
    except TypeError:
        assert {how, other} & {"ECDSA", "Ed25519"}  # a key that cannot have signed it
