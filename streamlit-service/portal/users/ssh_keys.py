"""Public keys for SSH, as people paste them (sshd(8), "AUTHORIZED_KEYS FILE FORMAT"). Pure."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime

from cryptography.exceptions import UnsupportedAlgorithm
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
        if not raw[4:].startswith(kind.encode()):
            raise ValueError("the kind inside is another")
        if kind.startswith("sk-"):
            return  # a security key's: cryptography reads none, OpenSSH does
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


def fingerprint(key: str) -> str:
    """SHA256:… as `ssh-keygen -lf` prints it."""
    digest = hashlib.sha256(base64.b64decode(key.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")
