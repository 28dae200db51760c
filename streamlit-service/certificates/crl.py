"""One revocation list (RFC 5280, section 5): read, verified, and for whom it speaks."""

from __future__ import annotations

import binascii
import time
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import Certificate, CertificateRevocationList, ExtensionNotFound

from certificates import signature

YIELD_EVERY = 50
"""Entries of a list that are read in a tenth of a millisecond: a decision waits for several."""
SKEW = timedelta(minutes=5)
"""How far an authority's clock may be ahead of ours."""
FUTURE = "it is from the future"
_CRITICAL = b"\x01\x01\xff\x04"
"""How an extension goes on after its name, in DER: BOOLEAN TRUE, then its value."""
_KNOWN_OF_ENTRIES = (x509.CRLReason, x509.InvalidityDate)
"""Whatever they say, the certificate is revoked: only delta lists take one back."""
_BEGIN, _END = b"-----BEGIN X509 CRL-----", b"-----END X509 CRL-----"
_BASE64_AT_ONCE = 1 << 20
"""Characters that are decoded in less than a millisecond; a multiple of four."""


@dataclass(frozen=True)
class RevocationList:
    """One verified list, and for whose certificates it speaks."""

    file: str
    issuer: x509.Name
    signer: bytes
    """The public key that it is signed with."""
    points: frozenset[str]
    """Only certificates that name one of these distribution points; empty: all."""
    people: bool
    authorities: bool
    serials: AbstractSet[int]
    this_update: datetime
    next_update: datetime
    number: int | None = None
    base: int | None = None
    """Of a list of changes: it changes the whole list of this number, or a later one."""
    taken_back: AbstractSet[int] = frozenset()
    """Of a list of changes: what was on hold, and is good again."""
    of_others: Mapping[x509.Name, AbstractSet[int]] | None = None
    """Of an indirect list: serials by who issued them, where that is not the list's own issuer."""

    @property
    def scope(self) -> tuple[object, ...]:
        """Two with the same speak for the same certificates."""
        return self.issuer, self.signer, self.points, self.people, self.authorities

    @property
    def revoked(self) -> int:
        """How many certificates are on it."""
        return len(self.serials) + sum(map(len, (self.of_others or {}).values()))

    def changes(self, whole: RevocationList) -> bool:
        """Whether this list of changes is one of that whole list (RFC 5280, 5.2.4)."""
        if self.base is None or self.number is None or whole.number is None:
            return False
        return self.scope == whole.scope and self.base <= whole.number < self.number

    def with_changes(self, delta: RevocationList) -> RevocationList:
        """The whole list as it is with these changes."""
        return replace(
            self,
            file=f"{self.file} with {delta.file}",
            serials=(self.serials - delta.taken_back) | delta.serials,
            this_update=delta.this_update,
            next_update=max(self.next_update, delta.next_update),
            number=delta.number,
        )

    def covers(self, certificate: Certificate, authority: Certificate) -> bool:
        """RFC 5280, 6.3.3 (b) and (f): same issuer, key, distribution point and kind.

        An indirect list speaks for whatever certificate names its issuer beside the point.
        """
        if not (self.authorities if _is_ca(certificate) else self.people):
            return False
        own = certificate.issuer == self.issuer and key_of(authority) == self.signer
        if own and (not self.points or bool(self.points & _points(certificate))):
            return True
        named = self.of_others is not None and _named_for(certificate, self.issuer)
        return bool(named) and (not self.points or bool(self.points & _points(certificate)))

    def revokes(self, certificate: Certificate) -> bool:
        """Whether a certificate that it speaks for is on it."""
        if certificate.issuer == self.issuer:
            return certificate.serial_number in self.serials
        return certificate.serial_number in (self.of_others or {}).get(certificate.issuer, ())


def split(content: bytes) -> list[bytes]:
    """The lists in a file: several where it is PEM (RFC 7468). Each in PEM's body, or as it is."""
    lists, at = [], content.find(_BEGIN)
    while at >= 0 and (end := content.find(_END, at)) >= 0:
        lists.append(content[at : end + len(_END)])
        at = content.find(_BEGIN, end)
    return lists or [content]


def _der(content: bytes) -> bytes:
    """A list as DER, whether it came so or as PEM. ValueError where PEM is broken."""
    at, end = content.find(_BEGIN), content.find(_END)
    if not 0 <= at < end:
        return content
    body = content[at + len(_BEGIN) : end].translate(None, b" \t\r\n\f\v")
    parts = range(0, len(body), _BASE64_AT_ONCE)
    return b"".join(
        binascii.a2b_base64(body[part : part + _BASE64_AT_ONCE], strict_mode=True) for part in parts
    )


def read(name: str, content: bytes, bundle: Sequence[Certificate]) -> RevocationList:
    """One list, PEM or DER, verified. Raises ValueError saying why it cannot be used."""
    try:
        return _read(name, content, bundle)
    except ValueError:
        raise
    except Exception as error:  # what parsing a damaged or forged list ends in, nobody knows
        raise ValueError(f"it cannot be read: {type(error).__name__}: {error}") from error


def _read(name: str, content: bytes, bundle: Sequence[Certificate]) -> RevocationList:
    try:
        der = _der(content)
        crl = x509.load_der_x509_crl(der)
    except ValueError as error:
        raise ValueError("it is not a certificate revocation list") from error
    signer = next((ca for ca in bundle if ca.subject == crl.issuer and _signed(crl, der, ca)), None)
    if signer is None:
        raise ValueError(f"no accepted authority signed it; it names {crl.issuer.rfc4514_string()}")
    scope, base = _scope(crl)
    indirect = bool(scope and scope.indirect_crl)
    if indirect and base is not None:
        raise ValueError("it lists changes of an indirect list, which are unknown here")
    if crl.last_update_utc > datetime.now(UTC) + SKEW:
        raise ValueError(FUTURE)
    if unknown := _unknown_in_entries(crl, der, indirect=indirect):
        raise ValueError(f"an entry has a critical extension that is unknown here: {unknown}")
    if crl.next_update_utc is None:
        raise ValueError("it does not say until when it counts")
    by_issuer = _by_issuer(crl) if indirect else {}
    own = by_issuer.pop(crl.issuer, set())
    return RevocationList(
        file=name,
        issuer=crl.issuer,
        signer=key_of(signer),
        points=_names(scope.full_name) if scope else frozenset(),
        people=not (scope and scope.only_contains_ca_certs),
        authorities=not (scope and scope.only_contains_user_certs),
        serials=own if indirect else _serials(crl, base),
        this_update=crl.last_update_utc,
        next_update=crl.next_update_utc,
        number=_number(crl),
        base=base,
        taken_back=frozenset() if base is None else _of_changes(crl, on=False),
        of_others=by_issuer if indirect else None,
    )


def _number(crl: CertificateRevocationList) -> int | None:
    try:
        return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except ExtensionNotFound:
        return None


def _of_changes(crl: CertificateRevocationList, *, on: bool) -> frozenset[int]:
    """The certificates that a list of changes puts on the whole list, or takes off it."""
    return frozenset(entry.serial_number for entry in crl if _is_taken_back(entry) is not on)


def _is_taken_back(entry: x509.RevokedCertificate) -> bool:
    try:
        reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    except ExtensionNotFound:
        return False
    return reason is x509.ReasonFlags.remove_from_crl


def _serials(crl: CertificateRevocationList, base: int | None) -> AbstractSet[int]:
    """Of the revoked certificates; others get their turn while a long list is read."""
    if base is not None:
        return _of_changes(crl, on=True)
    serials = set()
    for number, entry in enumerate(crl):
        serials.add(entry.serial_number)
        if number % YIELD_EVERY == 0:
            time.sleep(0)
    return serials


def _by_issuer(crl: CertificateRevocationList) -> dict[x509.Name, set[int]]:
    """Serials of an indirect list; an entry is of the issuer that was named last (RFC 5280, 5.3.3).

    ValueError where an issuer has no distinguished name.
    """
    issuer, found = crl.issuer, dict[x509.Name, set[int]]()
    for number, entry in enumerate(crl):
        for extension in _extensions(entry):
            if isinstance(extension.value, x509.CertificateIssuer):
                names = extension.value.get_values_for_type(x509.DirectoryName)
                if len(names) != 1:
                    raise ValueError("an entry names no issuer, or several")
                issuer = names[0]
        found.setdefault(issuer, set()).add(entry.serial_number)
        if number % YIELD_EVERY == 0:
            time.sleep(0)
    return found


def _unknown_in_entries(crl: CertificateRevocationList, der: bytes, *, indirect: bool) -> str:
    """A critical extension of an entry that we do not know (RFC 5280, 5.3), or "".

    Reading those of all entries takes half as long as the list itself, searching its bytes nothing.
    """
    of_the_list = sum(extension.critical for extension in crl.extensions)
    if der.count(_CRITICAL) <= of_the_list:
        return ""
    known = (*_KNOWN_OF_ENTRIES, x509.CertificateIssuer) if indirect else _KNOWN_OF_ENTRIES
    for entry in crl:
        for extension in _extensions(entry):
            if extension.critical and not isinstance(extension.value, known):
                return extension.oid.dotted_string
    return ""


def _extensions(
    of: CertificateRevocationList | x509.RevokedCertificate,
) -> list[x509.Extension[x509.ExtensionType]]:
    try:
        return list(of.extensions)
    except (
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
    ) as error:  # neither is a ValueError
        raise ValueError(f"its extensions cannot be read: {error}") from error


def _scope(
    crl: CertificateRevocationList,
) -> tuple[x509.IssuingDistributionPoint | None, int | None]:
    """What the list is limited to, and, of a list of changes, which number it changes.

    RFC 5280, 5.2: with a critical extension we do not know, it must not be used.
    """
    scope = base = None
    for extension in _extensions(crl):
        value = extension.value
        if isinstance(value, x509.DeltaCRLIndicator):
            base = value.crl_number
        elif isinstance(value, x509.IssuingDistributionPoint):
            if value.relative_name is not None:
                raise ValueError(
                    "its distribution point has a relative name, which is unknown here"
                )
            if value.only_contains_attribute_certs or value.only_some_reasons:
                raise ValueError("it is for other certificates or some reasons only (partial)")
            scope = value
        elif extension.critical:
            raise ValueError(
                f"it has a critical extension that is unknown here: {extension.oid.dotted_string}"
            )
    return scope, base


def _signed(crl: CertificateRevocationList, der: bytes, ca: Certificate) -> bool:
    try:
        if not ca.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign:
            return False
    except ExtensionNotFound:
        pass
    try:
        return signature.is_valid(crl, der, ca.public_key())
    except TypeError:  # a key of a kind that signs no lists
        return False


def _is_ca(certificate: Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except ExtensionNotFound:
        return False


def key_of(authority: Certificate) -> bytes:
    """An authority's public key, as lists keep it."""
    return authority.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _points(certificate: Certificate) -> frozenset[str]:
    try:
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except ExtensionNotFound:
        return frozenset()
    return frozenset(name for point in points for name in _names(point.full_name))


def _named_for(certificate: Certificate, issuer: x509.Name) -> bool:
    """Whether a certificate says that somebody else than its own authority lists it."""
    try:
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except ExtensionNotFound:
        return False
    return any(name.value == issuer for point in points for name in point.crl_issuer or ())


def _names(names: Sequence[x509.GeneralName] | None) -> frozenset[str]:
    return frozenset(str(name.value) for name in names or ())
