"""Revocation lists with what a test needs in them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pki
from certificates.chain import certification_paths
from certificates.revocation import Card, RevocationLists
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from portal.core.errors import NotAuthenticated


def bundle(authority: pki.Authority) -> list[x509.Certificate]:
    return [authority.root.certificate, authority.issuing.certificate]


def a_list(
    authority: pki.Authority,
    *extensions: tuple[x509.ExtensionType, bool],
    signed_by: str = "issuing",
    revoked: tuple[x509.Certificate, ...] = (),
    of_entries: tuple[tuple[x509.ExtensionType, bool], ...] = (),
) -> bytes:
    """A list with extensions of its own, and of each of its entries."""
    ca = getattr(authority, signed_by)
    now = datetime.now(UTC)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(ca.certificate.subject)
        .last_update(now)
        .next_update(now + timedelta(days=1))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    for certificate in revoked:
        entry = (
            x509.RevokedCertificateBuilder()
            .serial_number(certificate.serial_number)
            .revocation_date(now)
        )
        for extension, critical in of_entries:
            entry = entry.add_extension(extension, critical)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(ca.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def refused(lists: RevocationLists, certificate: x509.Certificate) -> str:
    """The reason, or "" when it is let in, by the authorities that the lists know."""
    paths = certification_paths(certificate, lists._bundle, frozenset(), datetime.now(UTC))
    try:
        lists.check(Card(paths))
    except NotAuthenticated as reason:
        return reason.code
    return ""
