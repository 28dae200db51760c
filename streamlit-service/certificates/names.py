"""Whom a certificate names: the common name of a CAC, and a user principal name (UPN).

What differs only to a computer must not become two people, and what looks alike must not become
one: names are bounded, printable, and in Unicode's compatible form already (UAX 15, NFKC).
"""

from __future__ import annotations

import re
import string
import unicodedata
from dataclasses import dataclass

MAX_COMMON_NAME = 64
"""Characters: ub-common-name of RFC 5280, appendix A.1."""
MAX_UPN = 256
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
