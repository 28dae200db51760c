"""An indirect list speaks for certificates of others, where those name its issuer (RFC 5280)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pki
import pytest
from certificates import revocation
from certificates.chain import certification_paths
from certificates.crl import RevocationList, read
from certificates.revocation import Card, RevocationLists
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from portal.core.errors import NotAuthenticated
from support.lists import bundle

NOW = datetime.now(UTC)
POINT = x509.UniformResourceIdentifier("http://crl.example/all.crl")
INDIRECT = x509.IssuingDistributionPoint(
    full_name=[POINT],
    relative_name=None,
    only_contains_user_certs=False,
    only_contains_ca_certs=False,
    only_some_reasons=None,
    indirect_crl=True,
    only_contains_attribute_certs=False,
)


@pytest.fixture(scope="module")
def lister() -> pki.Authority:
    """Another authority, which lists what both issue."""
    return pki.Authority("Lister")


def person(authority: pki.Authority, named: x509.Name | None) -> x509.Certificate:
    """A card that says that the issuer of this name lists it."""
    issued = authority.person("DOE.JANE.Q.1234567890", None)
    by = [x509.DirectoryName(named)] if named else None
    point = x509.DistributionPoint([POINT], None, None, by)
    copied = issued.certificate
    builder = x509.CertificateBuilder(
        copied.issuer,
        copied.subject,
        copied.public_key(),
        x509.random_serial_number(),
        copied.not_valid_before_utc,
        copied.not_valid_after_utc,
    )
    for extension in copied.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    builder = builder.add_extension(x509.CRLDistributionPoints([point]), critical=False)
    return builder.sign(authority.issuing.key, hashes.SHA256())


def a_list(
    signer: pki.Authority,
    *revoked: tuple[x509.Name | None, int],
    indirect: bool = True,
) -> bytes:
    """(issuer or None: as the entry before, serial) of each entry, in order."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(signer.issuing.certificate.subject)
        .last_update(NOW)
        .next_update(NOW + timedelta(days=1))
    )
    if indirect:
        builder = builder.add_extension(INDIRECT, critical=True)
    for issuer, serial in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW)
        if issuer:
            named = x509.CertificateIssuer([x509.DirectoryName(issuer)])
            entry = entry.add_extension(named, critical=True)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(signer.issuing.key, hashes.SHA256()).public_bytes(Encoding.PEM)


def refused(
    folder: Path, content: bytes, card: x509.Certificate, *authorities: pki.Authority
) -> str:
    (folder / "all.crl").write_bytes(content)
    accepted = [each for authority in authorities for each in bundle(authority)]
    lists = RevocationLists(folder, accepted, revocation.STRICT)
    try:
        lists.check(Card(certification_paths(card, accepted, frozenset(), datetime.now(UTC))))
    except NotAuthenticated as reason:
        return reason.code
    return ""


def test_it_revokes_and_vouches_for_who_names_its_issuer(
    tmp_path: Path, authority: pki.Authority, lister: pki.Authority
) -> None:
    named = lister.issuing.certificate.subject
    card, other = person(authority, named), person(authority, named)
    entries = (None, 7), (card.issuer, card.serial_number), (None, 8)
    content = a_list(lister, *entries)
    assert refused(tmp_path, content, card, authority, lister) == "revoked"
    assert refused(tmp_path, content, other, authority, lister) == ""


def test_the_same_number_of_another_issuer_is_another_certificate(
    tmp_path: Path, authority: pki.Authority, lister: pki.Authority
) -> None:
    card = person(authority, lister.issuing.certificate.subject)
    content = a_list(lister, (None, card.serial_number))  # the lister's own
    assert refused(tmp_path, content, card, authority, lister) == ""


def test_it_says_nothing_of_who_names_somebody_else_or_nobody(
    tmp_path: Path, authority: pki.Authority, lister: pki.Authority
) -> None:
    for named in (None, authority.issuing.certificate.subject):
        card = person(authority, named)
        content = a_list(lister, (card.issuer, card.serial_number))
        assert refused(tmp_path, content, card, authority, lister) == "revocation_unknown"


def test_a_lister_that_is_not_accepted_lists_nothing(
    tmp_path: Path, authority: pki.Authority, lister: pki.Authority
) -> None:
    card = person(authority, lister.issuing.certificate.subject)
    content = a_list(lister, (card.issuer, card.serial_number))
    assert refused(tmp_path, content, card, authority) == "revocation_unknown"


def test_entries_of_others_on_a_list_that_is_not_indirect_are_refused(
    authority: pki.Authority, lister: pki.Authority
) -> None:
    issuer = authority.issuing.certificate.subject
    with pytest.raises(ValueError, match="critical extension that is unknown"):
        read("all.crl", a_list(lister, (issuer, 7), indirect=False), bundle(lister))


def test_health_counts_it_for_the_authorities_that_it_names(
    authority: pki.Authority, lister: pki.Authority
) -> None:
    found: RevocationList = read(
        "all.crl",
        a_list(lister, (None, 1), (authority.issuing.certificate.subject, 2), (None, 3)),
        bundle(lister),
    )
    assert found.revoked == 3
    accepted = [*bundle(authority), *bundle(lister)]
    by = revocation.by_authority(accepted, revocation.Held((found,)))
    assert [each for each in by.values() if each] == [found, found]
