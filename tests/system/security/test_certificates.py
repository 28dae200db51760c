"""Certificates that must not get in: real handshakes, at the portal and at a user's port."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pki
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from stack import Stack

JANE = "DOE.JANE.Q.1234567890"
REFUSED = {400, 401, 403, 431}
Sign = Callable[..., pki.Issued]


def made(
    authority: pki.Issued,
    *names: x509.NameAttribute[str],
    key: pki.Key | None = None,
    usages: tuple[x509.ObjectIdentifier, ...] = (ExtendedKeyUsageOID.CLIENT_AUTH,),
    ca: bool | None = None,
    signs: bool = True,
    more: tuple[tuple[x509.ExtensionType, bool], ...] = (),
    issuer: x509.Name | None = None,
) -> pki.Issued:
    """Jane's certificate, but for what differs."""
    own = key or ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(names or (common_name(JANE),)))
        .issuer_name(issuer or authority.certificate.subject)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.KeyUsage(signs, False, not signs, False, False, bool(ca), False, False, False),
            critical=True,
        )
    )
    # What each card of this authority has: without, all would be refused for that.
    policy = x509.PolicyInformation(pki.HARDWARE_POLICY, None)
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    builder = builder.add_extension(x509.CertificatePolicies([policy]), critical=False)
    builder = builder.add_extension(signer, critical=False)
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
    for extension, critical in more:
        builder = builder.add_extension(extension, critical)
    return pki.Issued(builder.sign(authority.key, hashes.SHA256()), own)


def common_name(text: str) -> x509.NameAttribute[str]:
    return x509.NameAttribute(NameOID.COMMON_NAME, text, _validate=False)


def self_signed(authority: pki.Authority) -> pki.Issued:
    """With the authority's own name, as if it had issued itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    own = replace(authority.issuing, key=key)
    return made(own, key=key)


def by_a_leaf(authority: pki.Authority) -> pki.Issued:
    """Signed with Jane's own key."""
    hers = authority.person(JANE, "1234567890@mil")
    return made(hers, common_name("RAY.ALEX.M.3456789012"))


def by_a_foreign_twin(authority: pki.Authority) -> pki.Issued:
    """An authority of the same name with another key."""
    twin = pki.Authority("Container Portal Demo")
    return made(twin.issuing, issuer=authority.issuing.certificate.subject)


UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5"), b"\x05\x00")
KINDS: dict[str, Callable[[pki.Authority], pki.Issued]] = {
    "self-signed with the authority's name": self_signed,
    "signed by a leaf": by_a_leaf,
    "signed by another authority of that name": by_a_foreign_twin,
    "the authority's own": lambda a: a.issuing,
    "for servers": lambda a: made(a.issuing, usages=(ExtendedKeyUsageOID.SERVER_AUTH,)),
    "for the desktop's sign-in alone": lambda a: made(
        a.issuing, usages=(ExtendedKeyUsageOID.SMARTCARD_LOGON,)
    ),
    "for no use": lambda a: made(a.issuing, usages=()),
    "a key that may not sign": lambda a: made(a.issuing, signs=False),
    "an authority's, for clients": lambda a: made(a.issuing, ca=True),
    "with a critical extension that nobody knows": lambda a: made(
        a.issuing, more=((UNKNOWN, True),)
    ),
    "RSA of 1024 bits": lambda a: made(a.issuing, key=short_key()),
    "two common names": lambda a: made(a.issuing, common_name(JANE), common_name("ROE.J.1")),
    "the name in another place": lambda a: made(
        a.issuing, x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, JANE)
    ),
    "a name that looks like it": lambda a: made(
        a.issuing, common_name("DOE.JANE.Q.１２３４５６７８９０")
    ),
    "a name of 8 kB": lambda a: made(a.issuing, common_name("A" * 8_000 + ".1234567890")),
    "a name of 64 kB": lambda a: made(a.issuing, common_name("A" * 64_000 + ".1234567890")),
    "no name": lambda a: made(a.issuing, x509.NameAttribute(NameOID.COUNTRY_NAME, "US")),
}


def short_key() -> Any:
    return rsa.generate_private_key(public_exponent=65537, key_size=1024)


@pytest.mark.parametrize("kind", KINDS)
def test_it_opens_neither_the_portal_nor_a_port(stack: Stack, tmp_path: Path, kind: str) -> None:
    KINDS[kind](stack.authority()).write(tmp_path, "card")
    for port in (stack.port, 10000):
        assert answer(stack, tmp_path / "card", port) in REFUSED


def test_an_authority_below_one_that_may_have_none_vouches_for_nobody(
    stack: Stack, tmp_path: Path
) -> None:
    below = made(stack.authority().issuing, common_name("Below"), ca=True)
    made(below).write(tmp_path, "card")
    with (tmp_path / "card.crt").open("ab") as chain:
        chain.write(pki.pem(below.certificate))
    for port in (stack.port, 10000):
        assert answer(stack, tmp_path / "card", port) in REFUSED


def test_a_signature_with_sha1_proves_nothing(stack: Stack, tmp_path: Path) -> None:
    issuing = stack.authority().issuing
    issuing.write(tmp_path, "ca")
    made(issuing).write(tmp_path, "card")
    (tmp_path / "more").write_text(
        f"keyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth\n"
        f"certificatePolicies={pki.HARDWARE_POLICY.dotted_string}\n"
    )
    by = "-CA ca.crt -CAkey ca.key -days 1 -extfile more"
    for command in (
        f"openssl req -new -key card.key -subj /CN={JANE} -out request",
        f"openssl x509 -req -sha1 -in request {by} -out card.crt",
    ):
        subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    for port in (stack.port, 10000):
        assert answer(stack, tmp_path / "card", port) in REFUSED


@pytest.mark.parametrize("kind", [_ASN1Type.UTF8String, _ASN1Type.BMPString])
def test_a_name_in_whatever_string_it_is_gets_in(
    stack: Stack, tmp_path: Path, kind: _ASN1Type
) -> None:
    name = x509.NameAttribute(NameOID.COMMON_NAME, JANE, _ASN1Type(kind))
    made(stack.authority().issuing, name).write(tmp_path, "card")
    assert answer(stack, tmp_path / "card", stack.port) == httpx2.codes.OK


def test_a_card_that_only_differs_in_what_may_differ_gets_in(stack: Stack, tmp_path: Path) -> None:
    """What the others have in common is no reason."""
    made(stack.authority().issuing).write(tmp_path, "card")
    assert answer(stack, tmp_path / "card", stack.port) == httpx2.codes.OK


def answer(stack: Stack, card: Path, port: int) -> int:
    """The status of who I am at the portal, or of the notebook; 403 where TLS refuses already.

    Our own side sends whatever it is given: it is the portal that refuses.
    """
    context = stack.tls(None)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.load_cert_chain(card.with_suffix(".crt"), card.with_suffix(".key"))
    try:
        with httpx2.Client(verify=context, timeout=10, trust_env=False) as somebody:
            return somebody.get(f"https://{stack.host}:{port}/api/v1/me").status_code
    except (ssl.SSLError, httpx2.TransportError):
        return 403
