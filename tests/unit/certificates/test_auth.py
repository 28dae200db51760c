"""From a certificate to an Identity, and every certificate and header that proves none."""

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
    "name",
    [
        "DOE.JANE.Q. 1234567890",
        "DOE.JANE.Q.\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff19\uff10",
        "DOE.JANE.Q.\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669\u0660",
        "DOE\uff0eJANE\uff0e1234567890",
        ".1234567890",
        "DOE.JANE.0000000000",
    ],
)
def test_what_only_looks_like_a_cac_is_nobody_by_its_upn_either(
    authority: pki.Authority, name: str
) -> None:
    with pytest.raises(NotAuthenticated) as refused:
        identity_of(authority.person(name, "1234567890@mil").certificate)
    assert refused.value.code == "no_person"


def test_a_number_that_is_a_whole_name_is_no_cac(authority: pki.Authority) -> None:
    known = identity_of(authority.person("1234567890", "jane@corp.example").certificate)
    assert known.subject == "upn:jane@corp.example"


@pytest.mark.parametrize(
    "names_der", [b"\x30\x04\xa3\x02\x30\x00", b"\x30\x05\xa5\x03\xa1\x01\x41"]
)
def test_alternative_names_that_nobody_reads_are_refused_in_words(
    authority: pki.Authority, authenticator: Authenticator, names_der: bytes
) -> None:
    """x400Address and ediPartyName (RFC 5280, 4.2.1.6)."""
    issued = authority.person(*JANE).certificate
    builder = pki._builder(
        issued.subject, issued.issuer, authority.issuing.key, 9, timedelta(0)
    ).add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    odd = x509.UnrecognizedExtension(x509.oid.ExtensionOID.SUBJECT_ALTERNATIVE_NAME, names_der)
    certificate = builder.add_extension(odd, critical=False).sign(
        authority.issuing.key, hashes.SHA256()
    )
    with pytest.raises(NotAuthenticated) as refused:
        authenticator.authenticate(headers(certificate))
    assert refused.value.code == "bad_certificate"


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


@pytest.mark.parametrize(
    ("name", "subject", "shown"),
    [
        ("DOE.JANE.1234567890", "edipi:1234567890", "Jane Doe"),
        ("DOE.JOHN.Q.JR.9876543210", "edipi:9876543210", "John Q Doe Jr"),
        ("DOE.JOHN.QUINCY.ADAM.III.9876543210", "edipi:9876543210", "John Quincy Adam Doe III"),
        ("DOE.MARIA..9876543211", "edipi:9876543211", "Maria Doe"),
        ("O'BRIEN-SMITH.ANN.9876543211", "edipi:9876543211", "Ann O'Brien-Smith"),
        ("DOE.II.9876543211", "edipi:9876543211", "Ii Doe"),
        ("SUKARNO.9876543211", "edipi:9876543211", "Sukarno"),
        ("VAN DER BERG.J.A.B.C.D.9876543211", "edipi:9876543211", "J A B C D Van Der Berg"),
    ],
)
def test_a_cac_has_any_number_of_name_parts(
    authority: pki.Authority, name: str, subject: str, shown: str
) -> None:
    for upn in (None, f"{subject.removeprefix('edipi:')}@mil"):
        identity = identity_of(authority.person(name, upn).certificate)
        assert (identity.subject, identity.display_name) == (subject, shown)


@pytest.mark.parametrize(
    "name",
    [
        "DOE.JANE.Q.\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff19\uff10",
        "DOE.JANE.Q.\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669\u0660",
        "..1234567890",
        ".1234567890",
        "DOE.JANE.Q.1234567890 ",
        "DOE\u200b.JANE.1234567890",
        "DOE.JANE\n.1234567890",
    ],
)
def test_digits_and_letters_of_another_script_name_nobody(
    authority: pki.Authority, name: str
) -> None:
    with pytest.raises(NotAuthenticated) as refused:
        identity_of(authority.person(name, None).certificate)
    assert refused.value.code == "no_person"


@pytest.mark.parametrize(
    "upn",
    [
        "",
        " ",
        "pent k@mil",
        "pent-\u212a@mil",
        "pent-k",
        "1234567890",
        "@mil",
        "pent-k@",
        "a@b@c",
        "pent-k@mil\0",
        "pent-k@mil\u200b",
        "\uff50ent-k@mil",
    ],
)
def test_a_upn_that_could_be_taken_for_another_names_nobody(
    authority: pki.Authority, upn: str
) -> None:
    with pytest.raises(NotAuthenticated, match="names no person"):
        identity_of(authority.person("Pent K", upn).certificate)
    known = identity_of(authority.person("DOE.JANE.Q.1234567890", upn).certificate)
    assert (known.subject, known.upn) == ("edipi:1234567890", None)


@pytest.mark.parametrize("part", ["ca", "key_cert_sign", "crl_sign"])
def test_an_authority_signs_in_nowhere(
    authenticator: Authenticator, authority: pki.Authority, part: str
) -> None:
    """Not even one that its own authority made fit for it by mistake."""
    jane = authority.person(*JANE)
    usage = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    for wrong, accepted in ((False, True), (True, False)):
        builder = x509.CertificateBuilder(
            issuer_name=authority.issuing.certificate.subject,
            subject_name=jane.certificate.subject,
            public_key=jane.key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=jane.certificate.not_valid_before_utc,
            not_valid_after=jane.certificate.not_valid_after_utc,
        )
        for extension in jane.certificate.extensions:
            value = extension.value
            if isinstance(value, x509.KeyUsage):
                value = x509.KeyUsage(
                    digital_signature=True,
                    key_cert_sign=wrong and part == "key_cert_sign",
                    crl_sign=wrong and part == "crl_sign",
                    **usage,
                )
            elif isinstance(value, x509.BasicConstraints):
                continue
            builder = builder.add_extension(value, extension.critical)
        builder = builder.add_extension(
            x509.BasicConstraints(ca=wrong and part == "ca", path_length=None), critical=True
        )
        made = headers(builder.sign(authority.issuing.key, hashes.SHA256()))
        if accepted:
            assert authenticator.authenticate(made).edipi == "1234567890"
        else:
            with pytest.raises(NotAuthenticated, match="not accepted"):
                authenticator.authenticate(made)


@pytest.mark.parametrize(
    ("upn", "refused"),
    [
        ("1234567890@mil", False),
        ("1234567890123456@mil", False),
        ("2345678901@mil", True),
        ("2345678901123456@mil", True),
        ("2345678901@corp.example", False),  # a name there, not a number here
    ],
)
def test_a_card_whose_two_numbers_are_two_peoples_is_nobodys(
    authority: pki.Authority, upn: str, *, refused: bool
) -> None:
    certificate = authority.person("DOE.JANE.Q.1234567890", upn).certificate
    if not refused:
        assert identity_of(certificate).subject == "edipi:1234567890"
        return
    with pytest.raises(NotAuthenticated, match="two people"):
        identity_of(certificate)
