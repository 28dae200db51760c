"""Whom a certificate names: the common name of a CAC, the alternative names of CAC and PIV.

What differs only to a computer must not become two people, and what looks alike must not become
one: names are bounded, printable, and in Unicode's compatible form already (UAX 15, NFKC).
"""

from __future__ import annotations

import re
import string
import unicodedata
import uuid
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.x509 import ExtensionNotFound, ObjectIdentifier

MAX_COMMON_NAME = 64
"""Characters: ub-common-name of RFC 5280, appendix A.1."""
MAX_UPN = 256
UPN = ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
"""Microsoft's userPrincipalName, an otherName."""
FASC_N = ObjectIdentifier("2.16.840.1.101.3.6.6")
"""Federal Agency Smart Credential Number, an otherName (FIPS 201, section 4.2.1)."""
_URN = "urn:uuid:"
"""Of a card's UUID (RFC 9562), a uniformResourceIdentifier in PIV (FIPS 201)."""
_FASC_N_BYTES = 25
_EDIPI = re.compile(r"[0-9]{10}")
_SUFFIXES = {"JR", "SR", "II", "III", "IV", "V", "VI"}
_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


@dataclass(frozen=True)
class CacName:
    """LAST.FIRST[.MIDDLE …][.SUFFIX].EDIPI; parts may be empty."""

    edipi: str
    display_name: str


def is_plain(text: str, most: int) -> bool:
    """Whether it is 1 to `most` printable characters, none of them a look-alike of another."""
    return (
        0 < len(text) <= most
        and text == text.strip()
        and text.isprintable()
        and text == unicodedata.normalize("NFKC", text)
    )


def cac_name(common_name: str) -> CacName | None:
    """The parts of a CAC's common name; None where it is not one."""
    *parts, number = common_name.split(".")
    names = [part.strip() for part in parts if part.strip()]
    if not names or not _EDIPI.fullmatch(number):
        return None
    last, *given = names
    suffix = [given.pop()] if len(given) > 1 and given[-1].upper() in _SUFFIXES else []
    shown = [part.title() for part in (*given, last)]
    shown += [part.title() if part.upper() in ("JR", "SR") else part.upper() for part in suffix]
    return CacName(number, " ".join(shown))


def upn(text: str) -> str | None:
    """The name as it counts, in small ASCII letters; None where it is no user@domain."""
    user, _, domain = text.partition("@")
    if not (user and domain) or "@" in domain or " " in text or not is_plain(text, MAX_UPN):
        return None
    return text.translate(_ASCII_LOWER)


@dataclass(frozen=True)
class AlternativeNames:
    """What a certificate's subject alternative name says of a person; None where it does not."""

    upn: str | None
    card: str | None
    fasc_n: str | None

    @property
    def subject(self) -> str | None:
        """The name that stays longest: a UPN is the person's, the others are the card's."""
        named = (("upn", self.upn), ("uuid", self.card), ("fascn", self.fasc_n))
        return next((f"{kind}:{value}" for kind, value in named if value), None)


def alternative_names(certificate: x509.Certificate) -> AlternativeNames:
    """Of each kind the only one: two would name two people."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except ExtensionNotFound:
        return AlternativeNames(None, None, None)
    others = names.get_values_for_type(x509.OtherName)
    upns = [_utf8(other.value) for other in others if other.type_id == UPN]
    numbers = [_fasc_n(other.value) for other in others if other.type_id == FASC_N]
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    cards = [_uuid(uri) for uri in uris if uri.lower().startswith(_URN)]
    single = (kind[0] if len(kind) == 1 else None for kind in (upns, cards, numbers))
    return AlternativeNames(*single)


def _utf8(der: bytes) -> str | None:
    try:
        return upn(asn1.decode_der(str, der))
    except ValueError:  # another type than UTF8String, or damaged
        return None


def _fasc_n(der: bytes) -> str | None:
    try:
        number = asn1.decode_der(bytes, der)
    except ValueError:
        return None
    return number.hex() if len(number) == _FASC_N_BYTES and any(number) else None


def _uuid(uri: str) -> str | None:
    try:
        found = uuid.UUID(uri[len(_URN) :])
    except ValueError:
        return None
    return str(found) if found.int else None
