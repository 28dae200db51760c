"""What a certificate says of itself, whoever made it: for records of who was refused."""

from __future__ import annotations

from urllib.parse import unquote

from cryptography import x509
from cryptography.hazmat.primitives import hashes

MOST = 300
"""Characters of a name: strangers write them."""


def described(escaped: str) -> dict[str, str]:
    """Fingerprint, number, issuer and subject of nginx's $ssl_client_escaped_cert; {} for none."""
    if not escaped:
        return {}
    try:
        certificate = x509.load_pem_x509_certificate(unquote(escaped).encode())
        issuer, subject = certificate.issuer.rfc4514_string(), certificate.subject.rfc4514_string()
    except ValueError:
        return {"certificate": "cannot be read"}
    return {
        "certificate": certificate.fingerprint(hashes.SHA256()).hex(),
        "serial": f"{certificate.serial_number:x}",
        "issuer": issuer[:MOST],
        "names": subject[:MOST],
    }
