"""A demo PKI with CAC-like certificates: root, intermediate, server, people.

Never for production.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

P12_PASSWORD = "demo"  # noqa: S105  (printed to the person who made it)
UPN = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
HARDWARE_POLICY = x509.ObjectIdentifier("2.16.840.1.101.2.1.11.42")  # DoD medium hardware 112
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Issued:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: Key

    def write(self, directory: Path, name: str) -> None:
        """NAME.crt and NAME.key."""
        (directory / f"{name}.crt").write_bytes(pem(self.certificate))
        write_private(directory / f"{name}.key", key_pem(self.key))


def pem(*certificates: x509.Certificate) -> bytes:
    """Certificates as PEM."""
    return b"".join(c.public_bytes(serialization.Encoding.PEM) for c in certificates)


def key_pem(key: Key) -> bytes:
    """A private key as unencrypted PKCS#8 PEM."""
    encryption = serialization.NoEncryption()
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, from the first byte on."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(content)


class Authority:
    """A root with two intermediates, as DoD has: one for people, one for servers."""

    def __init__(self, name: str) -> None:
        self.root = _ca(f"{name} Root CA", None)
        self.issuing = _ca(f"{name} ID CA-1", self.root, for_people=True)
        # Go refuses the critical policyConstraints of the people's CA: engines could not trust the
        # registry.
        self.servers = _ca(f"{name} SW CA-1", self.root)

    def save(self, path: Path) -> None:
        """Root and intermediate with their keys in one PEM file."""
        parts = [
            pem(ca.certificate) + key_pem(ca.key) for ca in (self.root, self.issuing, self.servers)
        ]
        write_private(path, b"".join(parts))

    @classmethod
    def load(cls, path: Path) -> Authority:
        """What save() wrote."""
        blocks = re.findall(rb"-----BEGIN .+?-----END [A-Z ]+-----\n", path.read_bytes(), re.DOTALL)
        authority = cls.__new__(cls)
        authority.root, authority.issuing, authority.servers = (
            Issued(x509.load_pem_x509_certificate(crt), _private(key))
            for crt, key in (blocks[:2], blocks[2:4], blocks[4:])
        )
        return authority

    @property
    def bundle(self) -> bytes:
        """Root and intermediate, as nginx and the portal want them."""
        return pem(self.root.certificate, self.issuing.certificate)

    def person(
        self,
        common_name: str,
        upn: str | None,
        *,
        usages: list[x509.ObjectIdentifier] | None = None,
        days: int = 365,
        starts: timedelta = timedelta(minutes=-5),
        alternatives: Sequence[x509.GeneralName] = (),
    ) -> Issued:
        """A CAC-like authentication certificate; `alternatives` are names beside the UPN."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        builder = _builder(_name(common_name), self.issuing.certificate.subject, key, days, starts)
        builder = _leaf(
            builder, usages if usages is not None else [ExtendedKeyUsageOID.CLIENT_AUTH]
        )
        builder = builder.add_extension(
            x509.CertificatePolicies([x509.PolicyInformation(HARDWARE_POLICY, None)]),
            critical=False,
        )
        names = list(alternatives)
        if upn is not None:
            text = upn.encode()
            der = b"\x0c" + bytes([len(text)]) + text  # UTF8String (X.690, 8.23)
            names.append(x509.OtherName(UPN, der))
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return _sign(builder, key, self.issuing)

    def revocation_list(
        self, *revoked: x509.Certificate, days: int = 3650, starts: timedelta = timedelta(0)
    ) -> bytes:
        """The list of the people's CA, in PEM: these certificates are revoked."""
        start = datetime.now(UTC) + starts
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.issuing.certificate.subject)
            .last_update(start)
            .next_update(start + timedelta(days=days))
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.issuing.key.public_key()),
                False,
            )
        )
        for certificate in revoked:
            entry = (
                x509.RevokedCertificateBuilder()
                .serial_number(certificate.serial_number)
                .revocation_date(start)
            )
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self.issuing.key, hashes.SHA256()).public_bytes(
            serialization.Encoding.PEM
        )

    def server(self, names: list[str]) -> Issued:
        """A TLS server certificate for host names and addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(
            _name(names[0]), self.servers.certificate.subject, key, 365, timedelta(minutes=-5)
        )
        builder = _leaf(builder, [ExtendedKeyUsageOID.SERVER_AUTH])
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_general(n) for n in names]), False
        )
        return _sign(builder, key, self.servers)


def _sign(builder: x509.CertificateBuilder, key: Key, issuer: Issued) -> Issued:
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
    return Issued(builder.add_extension(identifier, False).sign(issuer.key, hashes.SHA256()), key)


def write_person(directory: Path, name: str, person: Issued, authority: Authority) -> None:
    """NAME.crt, NAME.key and NAME.p12 (with the chain, password `demo`)."""
    person.write(directory, name)
    password = serialization.BestAvailableEncryption(P12_PASSWORD.encode())
    chain = [authority.issuing.certificate, authority.root.certificate]
    bundle = pkcs12.serialize_key_and_certificates(
        name.encode(), person.key, person.certificate, chain, password
    )
    write_private(directory / f"{name}.p12", bundle)


def _private(key: bytes) -> Key:
    loaded = serialization.load_pem_private_key(key, None)
    assert isinstance(loaded, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey))
    return loaded


def _ca(name: str, issuer: Issued | None, *, for_people: bool = False) -> Issued:
    key = ec.generate_private_key(ec.SECP384R1())
    subject = _name(name)
    builder = _builder(
        subject, issuer.certificate.subject if issuer else subject, key, 3650, timedelta(days=-1)
    )
    builder = builder.add_extension(
        x509.BasicConstraints(ca=True, path_length=None if not issuer else 0), True
    )
    builder = builder.add_extension(_key_usage(sign=False, ca=True), True)
    if for_people:  # as on DoD ID CAs
        builder = builder.add_extension(
            x509.PolicyConstraints(require_explicit_policy=0, inhibit_policy_mapping=None),
            critical=True,
        )
        builder = builder.add_extension(
            x509.CertificatePolicies([x509.PolicyInformation(HARDWARE_POLICY, None)]),
            critical=False,
        )
    if issuer is None:
        return Issued(builder.sign(key, hashes.SHA256()), key)
    return _sign(builder, key, issuer)


def ssh_key_pair() -> tuple[bytes, bytes]:
    """A new Ed25519 key: (private in OpenSSH's format, public as an authorized_keys line)."""
    key, kind = ed25519.Ed25519PrivateKey.generate(), serialization
    private = key.private_bytes(kind.Encoding.PEM, kind.PrivateFormat.OpenSSH, kind.NoEncryption())
    public = key.public_key().public_bytes(kind.Encoding.OpenSSH, kind.PublicFormat.OpenSSH)
    return private, public + b" container-portal\n"


def _builder(
    subject: x509.Name, issuer: x509.Name, key: Key, days: int, starts: timedelta
) -> x509.CertificateBuilder:
    start = datetime.now(UTC) + starts
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    )


def _leaf(
    builder: x509.CertificateBuilder, usages: list[x509.ObjectIdentifier]
) -> x509.CertificateBuilder:
    builder = builder.add_extension(_key_usage(sign=True, ca=False), True)
    return builder.add_extension(x509.ExtendedKeyUsage(usages), False) if usages else builder


def _key_usage(*, sign: bool, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Container Portal Demo"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
