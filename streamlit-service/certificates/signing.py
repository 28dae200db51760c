"""The portal's key for the audit trail: what it signs, anybody verifies with openssl.

ECDSA on P-256 with SHA-256, as cosign signs blobs (cosign sign-blob): `cosign verify-blob` and
`openssl dgst -sha256 -verify` take the same signatures.
"""

from __future__ import annotations

import base64
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from portal.core.signatures import Signed


class SigningKey:
    """The key in a file, made where there is none."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            _make(path)
        key = load_pem_private_key(path.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{path} holds no key on an elliptic curve")
        self._key = key
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self.public = public.decode()

    def __call__(self, text: str) -> Signed:
        """Sign a text."""
        signature = self._key.sign(text.encode(), ec.ECDSA(hashes.SHA256()))
        return Signed(base64.b64encode(signature).decode(), self.public)


def _make(path: Path) -> None:
    """Whole, or not at all; of two that make one at once, the first counts."""
    key = ec.generate_private_key(ec.SECP256R1())
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".key-") as new:  # mode 0600
        new.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        new.flush()
        os.fsync(new.fileno())
        with suppress(FileExistsError):
            os.link(new.name, path)
