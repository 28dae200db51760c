"""Public keys for SSH, as people paste them (sshd(8), "AUTHORIZED_KEYS FILE FORMAT"). Pure."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

from portal.core.errors import Invalid
from portal.core.people import SshKey

KINDS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
MIN_RSA_BITS = 2048
MAX_NAME = 60
HINT = "Paste one line of a .pub file, for example ~/.ssh/id_ed25519.pub."


def parse(name: str, text: str, now: datetime) -> SshKey:
    """A key from the line of a .pub file; no options, no certificates.

    Raises Invalid saying what is wrong.
    """
    words = text.split()
    if "PRIVATE KEY" in text:
        raise Invalid(
            "private_key",
            "This is a private key: it must never leave your machine.",
            "It was not kept. Make a new pair all the same, and paste the line of its .pub file.",
        )
    if len(text.strip().splitlines()) != 1 or len(words) < 2 or words[0] not in KINDS:
        raise Invalid("bad_key", "This is not a public key that OpenSSH accepts.", HINT)
    _check(words[0], words[1])
    label = name.strip() or " ".join(words[2:])[:MAX_NAME] or words[0]
    if len(label) > MAX_NAME or not label.isprintable():
        raise Invalid(
            "bad_key_name",
            f"The key's name must be one line of at most {MAX_NAME} characters.",
            "Shorten it.",
        )
    return SshKey(
        name=label,
        key=f"{words[0]} {words[1]}",
        fingerprint=fingerprint(f"{words[0]} {words[1]}"),
        added_at=now.isoformat(),
    )


def _check(kind: str, body: str) -> None:
    try:
        raw = base64.b64decode(body, validate=True)
        if kind.startswith("sk-"):
            _check_security_key(kind, raw)
            return
        if not raw[4:].startswith(kind.encode()):
            raise ValueError("the kind inside is another")
        key = load_ssh_public_key(f"{kind} {body}".encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Invalid(
            "bad_key",
            "This public key is damaged: perhaps part of it is missing.",
            HINT,
            str(error),
        ) from error
    if isinstance(key, RSAPublicKey) and key.key_size < MIN_RSA_BITS:
        raise Invalid(
            "weak_key",
            f"An RSA key of {key.key_size} bits is too weak.",
            "Make one: ssh-keygen -t ed25519",
        )


def _check_security_key(kind: str, raw: bytes) -> None:
    """Raise ValueError for what is no whole key of a security key, which cryptography reads not.

    Kind, for ECDSA the curve, the public key, and the application (OpenSSH, PROTOCOL.u2f).
    """
    fields = []
    while raw:
        length = int.from_bytes(raw[:4])
        if len(raw) < 4 + length:
            raise ValueError("it ends early")
        fields.append(raw[4 : 4 + length])
        raw = raw[4 + length :]
    expected = [kind.encode()] + ([b"nistp256"] if "ecdsa" in kind else [])
    if len(fields) != len(expected) + 2 or fields[:-2] != expected or not fields[-1]:
        raise ValueError("its parts are not those of its kind")
    if "ecdsa" in kind:
        EllipticCurvePublicKey.from_encoded_point(SECP256R1(), fields[-2])
    else:
        Ed25519PublicKey.from_public_bytes(fields[-2])


def fingerprint(key: str) -> str:
    """SHA256:… as `ssh-keygen -lf` prints it."""
    digest = hashlib.sha256(base64.b64decode(key.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")
