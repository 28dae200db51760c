"""The signature itself of a release, kept as evidence: anybody verifies it with openssl."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from portal.core.models import Release
from portal.core.signatures import Vouched

from registry.client import Registry


def find(registry: Registry, key: Path, release: Release) -> Vouched | None:
    """What was signed of a release by this key; None where nothing is, or it is another kind.

    Raises EngineError while the registry does not answer.
    """
    pem = key.read_text(encoding="utf-8").strip()
    for payload, signature in registry.signatures_of(release.reference):
        if _is_of(release, payload) and _verifies(pem, payload, signature):
            return Vouched(payload.decode(), signature, pem)
    return None


def _is_of(release: Release, payload: bytes) -> bool:
    """Whether it says this digest, image and version, as cosign.sign() has it signed."""
    try:
        said = json.loads(payload)
        digest = said["critical"]["image"]["docker-manifest-digest"]
        named = said["optional"]
        return (digest, named["image"], named["version"]) == (
            release.digest,
            release.image,
            release.version,
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


def _verifies(pem: str, payload: bytes, signature: str) -> bool:
    """By ECDSA with SHA-256, which cosign's own keys are of."""
    key = load_pem_public_key(pem.encode())
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return False
    try:
        raw = base64.b64decode(signature, validate=True)
        key.verify(raw, payload, ec.ECDSA(hashes.SHA256()))
    except (ValueError, InvalidSignature):
        return False
    return True
