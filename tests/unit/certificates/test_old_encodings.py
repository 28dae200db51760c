"""Names in encodings of before (T.61): who has one is refused in words, and nobody else is."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pki
import pytest
from auth import Authenticator
from certificates import chain
from checks import authorities
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from portal.core.errors import NotAuthenticated
from portal.core.settings import Settings

ORGANISATION = b"Container Portal Demo"
UTF8, T61 = b"\x0c", b"\x14"
"""Tags of X.680, 8.4."""


def in_an_old_encoding(certificate: x509.Certificate) -> bytes:
    """The same with another organisation: its signature holds no longer, which is read later."""
    der = certificate.public_bytes(Encoding.DER)
    before = UTF8 + bytes([len(ORGANISATION)]) + ORGANISATION
    assert before in der
    after = T61 + bytes([len(ORGANISATION)]) + b"Soci\xe9t\xe9".ljust(len(ORGANISATION), b".")
    return pki.pem(x509.load_der_x509_certificate(der.replace(before, after)))


@pytest.fixture(scope="module")
def authority() -> pki.Authority:
    return pki.Authority("Test")


@pytest.fixture
def with_another(settings: Settings, authority: pki.Authority, tmp_path: Path) -> Settings:
    """Two authorities, the name of one in an old encoding."""
    bundle = tmp_path / "client_ca"
    other = in_an_old_encoding(pki.Authority("Other").root.certificate)
    bundle.write_bytes(other + authority.bundle)
    return settings.model_copy(update={"client_ca_file": bundle})


def asking(pem: bytes) -> dict[str, str]:
    return {
        "X-Proxy-Secret": "only-nginx-knows",
        "X-Client-Verify": "SUCCESS",
        "X-Client-Cert": quote(pem.decode()),
    }


def test_a_card_with_such_a_name_is_refused_in_words(
    with_another: Settings, authority: pki.Authority
) -> None:
    card = in_an_old_encoding(authority.person("DOE.JANE.Q.1234567890", None).certificate)
    with pytest.raises(NotAuthenticated) as refused:
        Authenticator(with_another).authenticate(asking(card))
    assert refused.value.code == "bad_certificate"


def test_an_authority_with_such_a_name_keeps_nobody_elses_people_out(
    with_another: Settings, authority: pki.Authority
) -> None:
    card = pki.pem(authority.person("DOE.JANE.Q.1234567890", None).certificate)
    assert Authenticator(with_another).authenticate(asking(card)).subject == "edipi:1234567890"


def test_the_health_check_says_which_certificate_it_is(with_another: Settings) -> None:
    read, unread = chain.authorities(with_another.client_ca_file.read_bytes())
    assert (len(read), unread) == (2, [1])
    [finding] = authorities.doubtful_entries(with_another)
    assert "Certificate 1 of secrets/client_ca cannot be read" in finding.message
