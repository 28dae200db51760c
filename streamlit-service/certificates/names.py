"""Whom a certificate names: the common name of a CAC, the alternative names of CAC and PIV."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.x509 import ExtensionNotFound, ObjectIdentifier
from portal.core import subjects

EDIPI_DIGITS = 10
MAX_COMMON_NAME = 64
"""Characters: ub-common-name of RFC 5280, appendix A.1."""
UPN = ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
"""Microsoft's userPrincipalName, an otherName."""
FASC_N = ObjectIdentifier("2.16.840.1.101.3.6.6")
"""Federal Agency Smart Credential Number, an otherName (FIPS 201, section 4.2.1)."""
_URN = "urn:uuid:"
"""Of a card's UUID (RFC 9562), a uniformResourceIdentifier in PIV (FIPS 201)."""
_SUFFIXES = {"JR", "SR", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X"}
_INITIALS = {"V", "X"}
"""Of one letter: a suffix after a middle name only."""


@dataclass(frozen=True)
class CacName:
    """LAST.FIRST[.MIDDLE …][.SUFFIX].EDIPI; parts may be empty."""

    edipi: str
    display_name: str


def readable(common_name: str) -> str | None:
    """A common name as people read it, in Unicode's composed form; None where nobody can."""
    composed = unicodedata.normalize("NFC", common_name)
    text = "".join(" " if unicodedata.category(each) == "Zs" else each for each in composed)
    return text if subjects.is_shown(text, MAX_COMMON_NAME) else None


def cac_name(common_name: str) -> CacName | None:
    """The parts of a CAC's common name; None where it is not one."""
    *parts, number = common_name.split(".")
    names = [part.strip() for part in parts if part.strip()]
    if not names or not subjects.EDIPI.fullmatch(number):
        return None
    last, *given = names
    last_one = given[-1].upper() if given else ""
    has_suffix = last_one in _SUFFIXES and len(given) > (2 if last_one in _INITIALS else 1)
    suffix = [given.pop()] if has_suffix else []
    shown = [part.title() for part in (*given, last)]
    shown += [part.title() if part.upper() in ("JR", "SR") else part.upper() for part in suffix]
    return CacName(number, " ".join(shown))


@dataclass(frozen=True)
class AlternativeNames:
    """What a certificate's subject alternative name says of a person; None where it does not.

    `several`: the kinds (by field) of which it has different ones, and so names several people.
    """

    upn: str | None
    card: str | None
    fasc_n: str | None
    mail: str | None = None
    several: frozenset[str] = frozenset()


def looks_like_cac(common_name: str) -> bool:
    """Whether people would read a CAC's number at its end, which cac_name() does not."""
    _, dot, number = unicodedata.normalize("NFKC", common_name).rpartition(".")
    digits = "".join(number.split())
    return bool(dot) and len(digits) == EDIPI_DIGITS and digits.isdecimal()


CAC, UPN_NAME, PIV, MAIL = "cac", "upn", "piv", "mail"
PROFILES = {
    CAC: "the EDIPI of a CAC",
    UPN_NAME: "a user principal name (UPN)",
    PIV: "the UUID or FASC-N of a PIV card",
    MAIL: "an e-mail address",
}
"""Names of the setting: what each looks for in a certificate, for people."""
LOOKED_AT = {CAC: {"upn"}, UPN_NAME: {"upn"}, PIV: {"card", "fasc_n"}, MAIL: {"mail"}}
"""Which kinds of alternative names each looks at."""
_OF_DOD = re.compile(r"([0-9]{10})(?:[0-9]{6})?@mil")
"""A UPN that is a number: an EDIPI, alone or with six digits of the holder's category."""


def edipi_of(names: AlternativeNames) -> str | None:
    """The EDIPI that a UPN is; None where it is none."""
    return _edipi(names.upn)


def _edipi(upn: str | None) -> str | None:
    number = _OF_DOD.fullmatch(upn or "")
    return number[1] if number and subjects.EDIPI.fullmatch(number[1]) else None


def subject_of(profiles: Sequence[str], edipi: str | None, names: AlternativeNames) -> str | None:
    """What the first profile that fits calls the holder: kind:name; None where none does."""
    number = edipi or edipi_of(names)
    found = {
        CAC: number and f"edipi:{number}",
        UPN_NAME: names.upn and f"upn:{names.upn}",
        PIV: (names.card and f"uuid:{names.card}") or (names.fasc_n and f"fascn:{names.fasc_n}"),
        MAIL: names.mail and f"mail:{names.mail}",
    }
    return next((found[profile] for profile in profiles if found[profile]), None)


def policies_of(certificate: x509.Certificate) -> frozenset[str]:
    """The certificate policies that it carries."""
    try:
        stated = certificate.extensions.get_extension_for_class(x509.CertificatePolicies).value
    except ExtensionNotFound:
        return frozenset()
    return frozenset(each.policy_identifier.dotted_string for each in stated)


def alternative_names(certificate: x509.Certificate) -> AlternativeNames:
    """Of each kind the only one: two that differ name two people."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except ExtensionNotFound:
        return AlternativeNames(None, None, None, None)
    others = names.get_values_for_type(x509.OtherName)
    upns = [_upn(other.value) for other in others if other.type_id == UPN]
    if len({_edipi(upn) for upn in upns} - {None}) == 1 and all(map(_edipi, upns)):
        upns = [min(filter(None, upns), key=len)]  # of ten digits, and of sixteen: one person
    numbers = [_fasc_n(other.value) for other in others if other.type_id == FASC_N]
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    cards = [subjects.card_uuid(uri[len(_URN) :]) for uri in uris if uri.lower().startswith(_URN)]
    mails = [subjects.mail(mail) for mail in names.get_values_for_type(x509.RFC822Name)]
    kinds = {"upn": upns, "card": cards, "fasc_n": numbers, "mail": mails}
    single = {name: kind[0] for name, kind in kinds.items() if len(kind) == 1}
    several = frozenset(name for name, kind in kinds.items() if len(set(kind)) > 1)
    upn, card, fasc_n, mail = map(single.get, kinds)
    return AlternativeNames(upn, card, fasc_n, mail, several)


def _upn(der: bytes) -> str | None:
    text = text_of(der)
    return None if text is None else subjects.upn(text)


_ENCODINGS = {
    0x0C: "utf-8",
    0x12: "ascii",
    0x13: "ascii",
    0x14: "ascii",
    0x16: "ascii",
    0x19: "ascii",
    0x1A: "ascii",
    0x1B: "ascii",
    0x1C: "utf-32-be",
    0x1E: "utf-16-be",
}
"""By tag: UTF8String, NumericString, PrintableString, TeletexString, IA5String, GraphicString,
VisibleString, GeneralString, UniversalString, BMPString. Of those with escapes, ASCII alone."""


def text_of(der: bytes) -> str | None:
    """A string of any of ASN.1's types (X.690, 8.23); None where it is none, or damaged."""
    if len(der) < 2 or der[0] not in _ENCODINGS:
        return None
    length, start = der[1], 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(der[2:start])
    if len(der) != start + length:
        return None
    try:
        return der[start:].decode(_ENCODINGS[der[0]])
    except UnicodeDecodeError:
        return None


def _fasc_n(der: bytes) -> str | None:
    try:
        number = asn1.decode_der(bytes, der)
    except ValueError:
        return None
    return (
        number.hex() if len(number) == subjects.FASC_N_BYTES and not _is_nobodys(number) else None
    )


def _is_nobodys(number: bytes) -> bool:
    """All bytes equal; or of no federal agency, or all zero, as cards carry that have none.

    Digits of four bits, the lowest first, with a parity bit (SCEPACS 2.3, section 2.1).
    """
    bits = f"{int.from_bytes(number):0{len(number) * 8}b}"
    digits = [int(bits[at : at + 4][::-1], 2) for at in range(0, len(bits), 5)]
    agency, system, credential = digits[1:5], digits[6:10], digits[11:17]
    nobody = agency == [9] * 4 or not any(agency + system + credential)
    return len(set(number)) == 1 or nobody
