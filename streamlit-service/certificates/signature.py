"""Whether a revocation list is signed with a key (RFC 5280, 5.1.1), while others go on working.

The library serialises a list anew to verify it, and every thread waits: for a quarter of a second
with 20 MB. Here what is signed is cut out of what was read, and hashed without keeping anybody.
"""

from __future__ import annotations

import hashlib
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.x509 import CertificateRevocationList


def is_valid(crl: CertificateRevocationList, der: bytes, key: Any) -> bool:
    """`der` is what `crl` was read from. Raises TypeError for keys that sign no lists."""
    algorithm = crl.signature_hash_algorithm
    if algorithm is None or not isinstance(key, (rsa.RSAPublicKey, ec.EllipticCurvePublicKey)):
        return crl.is_signature_valid(key)
    start, _ = _value(der, 0)
    _, end = _value(der, start)
    digest = hashlib.new(algorithm.name, memoryview(der)[start:end]).digest()
    parameters: Any = crl.signature_algorithm_parameters
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(crl.signature, digest, parameters, Prehashed(algorithm))
        elif isinstance(parameters, ec.ECDSA):
            key.verify(crl.signature, digest, ec.ECDSA(Prehashed(algorithm)))
        else:
            return False
    except InvalidSignature:
        return False
    return True


def _value(der: bytes, at: int) -> tuple[int, int]:
    """Where the value of an element at a place begins and ends (DER: X.690, 8.1)."""
    length, start = der[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        length, start = int.from_bytes(der[start : start + size]), start + size
    return start, start + length
