"""What a person is called by: kind:name, of the kinds that certificates carry.

What differs only to a computer must not become two people, and what looks alike must not become
one: names are bounded and printable, and a UPN is in Unicode's compatible form already (UAX 15).
"""

from __future__ import annotations

import functools
import re
import string
import unicodedata
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from portal.core.errors import Invalid

MAX_UPN = 256
FASC_N_BYTES = 25
NIL, MAX = 0, 2**128 - 1
"""UUIDs that are nobody's (RFC 9562, sections 5.9 and 5.10)."""
EDIPI = re.compile(r"(?!0{10})[0-9]{10}")
"""Ten digits; ten zeros are nobody's."""
OF_SERVICE = "service:"
SERVICE = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")
"""Of a program: what its certificate has as common name."""
_FASC_N = re.compile(rf"[0-9a-f]{{{2 * FASC_N_BYTES}}}")
_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_SINGLE = (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0)
_SELECTORS = (range(0x180B, 0x1810), range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0))
_IGNORABLE = frozenset(_SINGLE).union(*_SELECTORS)
"""Of Unicode's Default_Ignorable_Code_Point (UAX 44), those that Python calls printable."""


def is_shown(text: str, most: int) -> bool:
    """Whether it is 1 to `most` characters that somebody can see."""
    return (
        0 < len(text) <= most
        and text == text.strip()
        and text.isprintable()
        and not any(ord(character) in _IGNORABLE for character in text)
    )


def upn(text: str) -> str | None:
    """A user principal name as it counts, in small ASCII letters; None where it is none."""
    user, _, domain = text.partition("@")
    if not (user and domain) or "@" in domain or " " in text or not is_shown(text, MAX_UPN):
        return None
    return text.translate(_ASCII_LOWER) if text == unicodedata.normalize("NFKC", text) else None


def mail(text: str) -> str | None:
    """An e-mail address as it counts; None where it is none. As a UPN: user@domain, small."""
    return upn(text)


def card_uuid(text: str) -> str | None:
    """The UUID of a card (RFC 9562) as it counts; None where it is none, or nobody's."""
    try:
        found = uuid.UUID(text)
    except ValueError:
        return None
    return str(found) if found.int not in (NIL, MAX) else None


def parse(text: str) -> str:
    """A subject as it counts, of what an administrator wrote. Raises Invalid."""
    kind, _, name = text.strip().partition(":")
    found = _counts_as(kind.lower(), name)
    if found is None:
        raise Invalid(
            "bad_subject",
            f"{text[:80]!r} is not a valid subject.",
            "edipi: and ten digits, upn: or mail: and user@domain, or uuid: or fascn:, as the list"
            " of users shows it.",
        )
    return f"{kind.lower()}:{found}"


def _edipi(text: str) -> str | None:
    return text if EDIPI.fullmatch(text) else None


def _fasc_n(text: str) -> str | None:
    return text.lower() if _FASC_N.fullmatch(text.lower()) else None


_KINDS: dict[str, Callable[[str], str | None]] = {
    "edipi": _edipi,
    "upn": upn,
    "uuid": card_uuid,
    "fascn": _fasc_n,
    "mail": mail,
}
_LISTED = re.compile(rf"(?:({'|'.join(_KINDS)}):)?(\S+)(?:\s+of\s+(\S.*))?", re.IGNORECASE)


def _counts_as(kind: str, name: str) -> str | None:
    counts = _KINDS.get(kind)
    return counts(name) if counts else None


@dataclass(frozen=True)
class Listed:
    """One entry of a list of people in the settings: NAME, KIND:NAME, or either of AUTHORITY.

    `subjects` are what it may mean, none where it means nobody; `authority` is the common name of
    a root, "" for any.
    """

    text: str
    subjects: frozenset[str]
    authority: str


@functools.cache
def listed(text: str) -> tuple[Listed, ...]:
    """The entries of a list, separated by commas."""
    return tuple(_entry(part.strip()) for part in split(text, ",") if part.strip())


def _entry(text: str) -> Listed:
    found = _LISTED.fullmatch(text)
    if not found:
        return Listed(text, frozenset(), "")
    kind, name, authority = found.groups(default="")
    kinds = [kind.lower()] if kind else [*_KINDS]
    names = {kind: _counts_as(kind, name) for kind in kinds}
    subjects = frozenset(f"{kind}:{name}" for kind, name in names.items() if name)
    return Listed(text, subjects, unescaped(authority.strip()))


@functools.cache
def realms(text: str) -> list[list[str]]:
    """Lists of common names, folded: names separated by commas, lists by semicolons."""
    return [
        [unescaped(name).strip().casefold() for name in split(realm, ",") if name.strip()]
        for realm in split(text, ";")
        if realm.strip()
    ]


def of_realm(subject: str, realm: str) -> str:
    """A subject as people of a realm have it whose name somebody of another had before."""
    return f"{subject} of {realm}"


def split(text: str, separator: str) -> list[str]:
    """Its parts, still escaped: a backslash takes a character as it is (RFC 4514)."""
    return re.split(rf"(?<!\\){re.escape(separator)}", text)


def unescaped(text: str) -> str:
    """Without the backslashes of split()."""
    return re.sub(r"\\(.)", r"\1", text)


def common_name(root: str) -> str:
    """Of a distinguished name (RFC 4514), folded; "" where it has none."""
    parts = (part.partition("=") for part in split(root, ","))
    found = next((value for kind, _, value in parts if kind.strip().upper() == "CN"), "")
    return unescaped(found).strip().casefold()
