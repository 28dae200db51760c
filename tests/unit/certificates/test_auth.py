from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pki
import pytest
from auth import Authenticator, identity_of
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from portal.core.errors import NotAuthenticated
from portal.core.settings import Settings

JANE = ("DOE.JANE.Q.1234567890", "1234567890@mil")


@pytest.fixture(scope="module")
def authority() -> pki.Authority:
    return pki.Authority("Test")


@pytest.fixture
def authenticator(settings: Settings, authority: pki.Authority, tmp_path: Path) -> Authenticator:
    bundle = tmp_path / "client_ca"
    bundle.write_bytes(authority.bundle)
    return Authenticator(settings.model_copy(update={"client_ca_file": bundle}))


def headers(certificate: x509.Certificate) -> dict[str, str]:
    """What nginx sends for a certificate."""
    return {
        "X-Proxy-Secret": "only-nginx-knows",
        "X-Client-Verify": "SUCCESS",
        "X-Client-Cert": quote(pki.pem(certificate).decode()),
    }


def test_a_cac_like_certificate_becomes_an_identity(
    authenticator: Authenticator, authority: pki.Authority
) -> None:
    jane = authenticator.authenticate(headers(authority.person(*JANE).certificate))
    assert (jane.subject, jane.display_name) == ("edipi:1234567890", "Jane Q Doe")
    assert (jane.edipi, jane.upn) == ("1234567890", "1234567890@mil")


def test_a_certificate_without_edipi_is_known_by_its_upn(
    authenticator: Authenticator, authority: pki.Authority
) -> None:
    person = authority.person("Jane Doe", "Jane.Doe@corp.example")
    assert (
        authenticator.authenticate(headers(person.certificate)).subject
        == "upn:jane.doe@corp.example"
    )


@pytest.mark.parametrize(
    "issue",
    [
        lambda own: pki.Authority("Other").person(*JANE),
        lambda own: own.person(*JANE, days=1, starts=timedelta(days=-2)),
        lambda own: own.person(*JANE, starts=timedelta(days=1)),
        lambda own: own.person(*JANE, usages=[ExtendedKeyUsageOID.SERVER_AUTH]),
        lambda own: own.person(*JANE, usages=[]),
        lambda own: own.server(["localhost"]),
        lambda own: own.issuing,
    ],
    ids=[
        "another authority",
        "expired",
        "not yet valid",
        "server usage",
        "no usage",
        "a server's",
        "the CA itself",
    ],
)
def test_a_certificate_that_proves_nothing_is_refused(
    authenticator: Authenticator,
    authority: pki.Authority,
    issue: Callable[[pki.Authority], pki.Issued],
) -> None:
    with pytest.raises(NotAuthenticated, match="not accepted"):
        authenticator.authenticate(headers(issue(authority).certificate))


def test_a_required_policy_is_required(
    settings: Settings, authority: pki.Authority, tmp_path: Path
) -> None:
    bundle = tmp_path / "client_ca"
    bundle.write_bytes(authority.bundle)
    for policy, accepted in ((pki.HARDWARE_POLICY.dotted_string, True), ("1.2.3", False)):
        update = {"client_ca_file": bundle, "certificate_policies": policy}
        door = Authenticator(settings.model_copy(update=update))
        person = headers(authority.person(*JANE).certificate)
        if accepted:
            door.authenticate(person)
        else:
            with pytest.raises(NotAuthenticated):
                door.authenticate(person)


@pytest.mark.parametrize(
    "change",
    [
        {"X-Proxy-Secret": ""},
        {"X-Proxy-Secret": "guess"},
        {"X-Client-Verify": "FAILED:certificate revoked"},
        {"X-Client-Verify": "NONE"},
        {"X-Client-Cert": ""},
        {"X-Client-Cert": "-----BEGIN%20CERTIFICATE-----%0Anonsense"},
    ],
)
def test_no_header_is_believed_without_nginx(
    authenticator: Authenticator, authority: pki.Authority, change: dict[str, str]
) -> None:
    with pytest.raises(NotAuthenticated):
        authenticator.authenticate(headers(authority.person(*JANE).certificate) | change)


@pytest.mark.parametrize("upn", [None])
@pytest.mark.parametrize(
    "name",
    ["web server", "DOE.JANE.123", "CN=DOE.JANE.Q.1234567890,OU=x", "DOE.JANE.Q.12345678901"],
)
def test_a_name_that_only_looks_like_one_is_nobody(
    authority: pki.Authority, name: str, upn: str | None
) -> None:
    with pytest.raises(NotAuthenticated, match="names no person"):
        identity_of(authority.person(name, upn).certificate)


def test_two_common_names_are_ambiguous(authority: pki.Authority) -> None:
    jane = authority.person(*JANE)
    two = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, n) for n in (JANE[0], "ROE.JOHN.A.2345678901")]
    )
    built = (
        x509.CertificateBuilder()
        .subject_name(two)
        .issuer_name(authority.issuing.certificate.subject)
        .public_key(jane.key.public_key())
        .serial_number(7)
        .not_valid_before(jane.certificate.not_valid_before_utc)
        .not_valid_after(jane.certificate.not_valid_after_utc)
        .sign(authority.issuing.key, hashes.SHA256())
    )
    with pytest.raises(NotAuthenticated, match="2 common names"):
        identity_of(built)
