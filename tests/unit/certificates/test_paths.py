"""An authority that has more than one certificate: only the card's own paths count."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pki
import pytest
from certificates import chain
from certificates.chain import certification_paths
from certificates.revocation import STRICT, Card, RevocationLists
from checks import authorities
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from portal.core.errors import NotAuthenticated
from portal.core.settings import Settings

NOW = datetime.now(UTC)


@pytest.fixture
def old() -> pki.Authority:
    return pki.Authority("Example")


def recertified(old: pki.Authority, *, same_key: bool) -> pki.Authority:
    """The authority once more under its name, by the same root, with its old key or a new one."""
    new = pki.Authority("Example")
    key = old.issuing.key if same_key else new.issuing.key
    builder = pki._builder(
        old.issuing.certificate.subject, old.root.certificate.subject, key, 365, -timedelta(days=1)
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(pki._key_usage(sign=False, ca=True), critical=True)
    new.root, new.issuing = old.root, pki._sign(builder, key, old.root)
    return new


def refused(folder: Path, old: pki.Authority, new: pki.Authority, jane: x509.Certificate) -> str:
    """Why Jane stays out, with strict lists, the old authority's certificate revoked; or ""."""
    (folder / "old.crl").write_bytes(old.revocation_list())
    (folder / "new.crl").write_bytes(new.revocation_list())
    by_root = pki.Authority("Example")
    by_root.issuing = old.root
    (folder / "root.crl").write_bytes(by_root.revocation_list(old.issuing.certificate))
    bundle = [old.root.certificate, old.issuing.certificate, new.issuing.certificate]
    paths = certification_paths(jane, bundle, frozenset(), NOW)
    try:
        RevocationLists(folder, bundle, STRICT).check(Card(paths))
    except NotAuthenticated as reason:
        return reason.code
    return ""


def test_a_card_of_the_new_key_is_good_and_one_of_the_old_is_not(
    tmp_path: Path, old: pki.Authority
) -> None:
    new = recertified(old, same_key=False)
    jane = new.person("DOE.JANE.Q.1234567890", None).certificate
    john = old.person("ROE.JOHN.Q.2345678901", None).certificate
    assert refused(tmp_path, old, new, jane) == ""
    assert refused(tmp_path, old, new, john) == "revoked"


def test_a_key_that_was_certified_again_is_good_by_its_new_certificate(
    tmp_path: Path, old: pki.Authority
) -> None:
    new = recertified(old, same_key=True)
    jane = old.person("DOE.JANE.Q.1234567890", None).certificate
    bundle = [old.root.certificate, old.issuing.certificate, new.issuing.certificate]
    for accepted in (bundle, [bundle[0], bundle[2], bundle[1]]):
        assert len(certification_paths(jane, accepted, frozenset(), NOW)) == 2
    assert refused(tmp_path, old, new, jane) == ""


def test_a_list_of_the_old_key_says_nothing_of_the_new_ones_cards(
    tmp_path: Path, old: pki.Authority
) -> None:
    new = recertified(old, same_key=False)
    jane = new.person("DOE.JANE.Q.1234567890", None).certificate
    (tmp_path / "old.crl").write_bytes(old.revocation_list(jane))
    bundle = [old.root.certificate, old.issuing.certificate, new.issuing.certificate]
    card = Card(certification_paths(jane, bundle, frozenset(), NOW))
    with pytest.raises(NotAuthenticated, match="cannot tell if"):
        RevocationLists(tmp_path, bundle, STRICT).check(card)


def test_the_new_key_of_an_authority_that_the_old_one_vouches_for_is_no_root(
    tmp_path: Path, old: pki.Authority
) -> None:
    """Self-issued (RFC 5280, 3.2): the same name twice, and another key's signature."""
    new = recertified(old, same_key=False)
    name = old.issuing.certificate.subject
    builder = pki._builder(name, name, new.issuing.key, 365, -timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    builder = builder.add_extension(pki._key_usage(sign=False, ca=True), critical=True)
    link = pki._sign(builder, new.issuing.key, old.issuing).certificate
    jane = new.person("DOE.JANE.Q.1234567890", None).certificate
    bundle = [link, old.root.certificate, old.issuing.certificate, new.issuing.certificate]
    paths = certification_paths(jane, bundle, frozenset(), NOW)
    assert {path[-1] for path in paths} == {old.root.certificate}


def test_roots_of_which_one_vouches_for_the_other_are_not_separate(
    old: pki.Authority, tmp_path: Path
) -> None:
    other = pki.Authority("Other")
    root = other.root.certificate
    crossed = (
        x509.CertificateBuilder()
        .subject_name(root.subject)
        .issuer_name(old.root.certificate.subject)
        .public_key(root.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(root.not_valid_before_utc)
        .not_valid_after(root.not_valid_after_utc)
        .sign(old.root.key, hashes.SHA256())
    )
    for bundle, separate in (
        ([root, old.root.certificate], 2),
        ([root, old.root.certificate, crossed], 1),
        ([root, root], 1),
    ):
        assert len(chain.separate_roots(bundle)) == separate
        (tmp_path / "bundle").write_bytes(pki.pem(*bundle))
        for realms in ("", "Other Root CA"):
            settings = Settings(client_ca_file=tmp_path / "bundle", realms=realms)
            found = [each.check for each in authorities.doubtful_entries(settings)]
            assert ("realms" in found) is (separate > 1 and not realms)
