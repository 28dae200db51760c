"""From a certificate to an Identity. nginx proved possession of the key; we verify the rest.

Nothing here believes a header unless it carries the secret that only nginx knows (invariant 6).
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import unquote

import structlog
from cachetools import TTLCache
from certificates.chain import authorities, certification_paths
from certificates.names import (
    CAC,
    LOOKED_AT,
    MAX_COMMON_NAME,
    PIV,
    PROFILES,
    UPN_NAME,
    alternative_names,
    cac_name,
    edipi_of,
    looks_like_cac,
    policies_of,
    readable,
    subject_of,
)
from certificates.presented import described
from certificates.revocation import Card
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import verification
from cryptography.x509.oid import NameOID
from portal.audit.refusals import STRANGER, Refusals
from portal.core import subjects
from portal.core.errors import Forbidden, NotAuthenticated, PortalError
from portal.core.people import NOWHERE, Certificate, Identity, Origin
from portal.core.settings import Settings
from portal.users import consent

log = structlog.get_logger()
CACHE_S = 30.0
CACHE_SIZE = 4096
DEFAULT_PROFILES = (CAC, UPN_NAME, PIV)
HINT = (
    "Insert your smart card, close all browser windows, and choose the authentication certificate."
)


class Revocation(Protocol):
    """Decides whether a certificate is revoked; revocation.RevocationLists implements it."""

    def check(self, card: Card, *, patient: bool = False) -> None:
        """Raise NotAuthenticated when the card is revoked or cannot be known to be good.

        `patient`: a source may be waited for, some seconds at most.
        """


class NoRevocation:
    """No revocation source is configured; SECURITY.md says what that means."""

    def check(self, card: Card, *, patient: bool = False) -> None:
        """Accept."""


class KnownCards:
    """What is known now of certificates that signed in before. Thread-safe; waits for nobody."""

    def __init__(
        self,
        bundle: Sequence[x509.Certificate],
        policies: frozenset[str],
        revocation: Revocation | None = None,
    ) -> None:
        self._bundle, self._policies = bundle, policies
        self._revocation = revocation or NoRevocation()
        self._cards: TTLCache[str, Card] = TTLCache(CACHE_SIZE, CACHE_S)
        self._guard = threading.Lock()

    def is_revoked(self, card: Certificate) -> bool:
        """Whether it is known to be revoked, or its authority is no longer accepted."""
        return self._problem(card) in ("revoked", "certificate_refused")

    def counts(self, card: Certificate) -> bool:
        """Whether its holder would be let in with it, as far as revocation goes."""
        return bool(card.pem) and not self._problem(card)

    def _problem(self, card: Certificate) -> str:
        """The code of the refusal, or ""."""
        if not card.pem:
            return ""
        try:
            self._revocation.check(self._read(card))
        except NotAuthenticated as error:
            return error.code
        except (verification.VerificationError, ValueError):
            return "certificate_refused"
        return ""

    def _read(self, card: Certificate) -> Card:
        with self._guard:
            known = self._cards.get(card.fingerprint)
        if known is None:
            certificate = x509.load_pem_x509_certificate(card.pem.encode())
            now = datetime.now(UTC)
            known = Card(certification_paths(certificate, self._bundle, self._policies, now))
            with self._guard:
                self._cards[card.fingerprint] = known
        return known


class Authenticator:
    """Thread-safe.

    Verified certificates are remembered for CACHE_S, so that a request costs little.
    """

    def __init__(self, settings: Settings, revocation: Revocation | None = None) -> None:
        self._secret = settings.proxy_secret.encode()
        self._bundle, unread = authorities(settings.client_ca_file.read_bytes())
        if unread:
            log.warning("authorities_not_read", numbers=unread)
        self.cards = KnownCards(self._bundle, settings.policy_oids, revocation)
        self._policies = settings.policy_oids
        self._profiles = settings.profiles
        self._services = settings.service_policy_oids
        self._revocation = revocation or NoRevocation()
        self._cache: TTLCache[bytes, tuple[Identity, Card]] = TTLCache(CACHE_SIZE, CACHE_S)
        self._guard = threading.Lock()

    def authenticate(self, headers: Mapping[str, str], *, patient: bool = True) -> Identity:
        """The identity that nginx's headers prove. Raises NotAuthenticated saying why not.

        `patient`: what a responder says of a card may be waited for, as in a request's own thread.
        """
        self.check_proxy(headers)
        escaped = headers.get("X-Client-Cert") or ""
        if headers.get("X-Client-Verify") != "SUCCESS" or not escaped:
            raise NotAuthenticated(
                "no_certificate", "No valid client certificate was presented.", HINT
            )
        key = hashlib.sha256(escaped.encode()).digest()
        with self._guard:
            cached = self._cache.get(key)
        if cached is None:
            cached = self._verify(escaped)
            with self._guard:
                self._cache[key] = cached
        identity, card = cached
        if identity.not_after <= datetime.now(UTC):  # since it was verified
            raise NotAuthenticated(
                "expired", "Your certificate has expired.", "Use the one that is valid now."
            )
        self._revocation.check(card, patient=patient)  # each time: a new list counts at once
        return identity

    def check_proxy(self, headers: Mapping[str, str]) -> None:
        """Raise NotAuthenticated unless the request came through nginx."""
        given = (headers.get("X-Proxy-Secret") or "").encode()
        if not hmac.compare_digest(given, self._secret):
            raise NotAuthenticated(
                "not_through_proxy",
                "The request did not come through the portal's gateway.",
                "Open the portal at its public address.",
            )

    def _verify(self, escaped: str) -> tuple[Identity, Card]:
        try:
            certificate = x509.load_pem_x509_certificate(unquote(escaped).encode())
            _ = certificate.extensions  # read as a whole, at the first of them
            _ = certificate.subject, certificate.issuer  # a name may be in an encoding of before
        except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
            raise NotAuthenticated(
                "bad_certificate", "The certificate cannot be read.", HINT, str(error)
            ) from error
        try:
            now = datetime.now(UTC)
            paths = certification_paths(certificate, self._bundle, self._policies, now)
        except (verification.VerificationError, ValueError) as error:
            raise NotAuthenticated(
                "certificate_refused",
                "Your certificate is not accepted: it has expired, is not valid yet, is meant for"
                " another purpose, or comes from another authority.",
                "Choose the authentication certificate of your smart card, "
                "not the e-mail or signature one.",
                cause=str(error),
            ) from error
        roots = frozenset(path[-1].subject.rfc4514_string() for path in paths)
        identity = identity_of(certificate, self._profiles, self._services)
        return replace(identity, roots=roots), Card(paths)


def origin_of(headers: Mapping[str, str]) -> Origin:
    """Where a request came from. To be asked once authenticate() believed its headers."""
    return Origin(headers.get("X-Real-IP") or "", headers.get("X-Request-Id") or "")


def note_refusal(
    refusals: Refusals,
    error: PortalError,
    headers: Mapping[str, str],
    identity: Identity | None = None,
) -> None:
    """Record that somebody was not let in; what is no refusal of the kind is none."""
    if not isinstance(error, NotAuthenticated | Forbidden) or error.code == consent.NEEDED:
        return
    if error.code == "not_through_proxy":  # whatever it says
        refusals.note(error.code, STRANGER, NOWHERE)
        return
    escaped, asked = headers.get("X-Client-Cert") or "", headers.get("X-Asked") or ""
    who = identity.subject if identity else STRANGER
    refusals.note(error.code, who, origin_of(headers), asked, lambda: described(escaped))


def identity_of(
    certificate: x509.Certificate,
    profiles: Sequence[str] = DEFAULT_PROFILES,
    services: frozenset[str] = frozenset(),
) -> Identity:
    """Map a certificate that was verified, by the first profile (names.py) that fits.

    One of the policies `services` makes it a program's, which its common name names. Raises
    NotAuthenticated when it names nobody.
    """
    common_names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(common_names) != 1:
        raise NotAuthenticated(
            "ambiguous_name",
            f"The certificate has {len(common_names)} common names instead of one.",
            HINT,
        )
    common_name = str(common_names[0].value)
    name = readable(common_name)
    if not name:
        raise NotAuthenticated(
            "no_person",
            f"The certificate's common name is longer than {MAX_COMMON_NAME} characters, or"
            " contains characters that no name has.",
            HINT,
        )
    if services & policies_of(certificate):
        return _identity(certificate, _service(name), name)
    cac = cac_name(name)
    if CAC in profiles and cac is None and looks_like_cac(name):
        raise NotAuthenticated(
            "no_person",
            "The certificate's common name looks like a CAC's, but is malformed: it needs a name,"
            " a dot and ten digits.",
            HINT,
        )
    edipi = cac.edipi if cac else None
    names = alternative_names(certificate)
    of_upn = edipi_of(names)
    if CAC in profiles and edipi and of_upn and edipi != of_upn:
        raise NotAuthenticated(
            "ambiguous_name",
            f"The certificate names two people: {edipi} in its common name, {of_upn} in its UPN.",
            "Have the card corrected: nobody can say whose it is.",
        )
    looked_at = {kind for profile in profiles for kind in LOOKED_AT[profile]}
    if names.several & looked_at:
        raise NotAuthenticated(
            "ambiguous_name",
            "The certificate's alternative names name several people.",
            "Have the card corrected: nobody can say whose it is.",
        )
    subject = subject_of(profiles, edipi, names)
    if not subject:
        *others, last = (PROFILES[profile] for profile in profiles)
        wanted = f"{', '.join(others)} or {last}" if others else last
        raise NotAuthenticated(
            "no_person",
            f"The certificate names no person: accepted here is {wanted}, and it has none.",
            HINT,
        )
    identity = _identity(certificate, subject, cac.display_name if cac else name)
    number = subject.removeprefix("edipi:") if subject.startswith("edipi:") else edipi
    return replace(identity, common_name=name, edipi=number, upn=names.upn)


def _service(name: str) -> str:
    """The subject of a program."""
    if not subjects.SERVICE.fullmatch(name):
        raise NotAuthenticated(
            "no_person",
            "The certificate is a program's, but its common name is no name for one.",
            "Lowercase letters, digits, dots and hyphens: nightly-training, for example.",
        )
    return f"{subjects.OF_SERVICE}{name}"


def _identity(certificate: x509.Certificate, subject: str, name: str) -> Identity:
    return Identity(
        subject=subject,
        common_name=name,
        display_name=name,
        edipi=None,
        upn=None,
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        ssh_key=_ssh_key(certificate),
        pem=certificate.public_bytes(Encoding.PEM).decode(),
        serial=f"{certificate.serial_number:x}",
        issuer=certificate.issuer.rfc4514_string(),
    )


def _ssh_key(certificate: x509.Certificate) -> str:
    """The certificate's key as OpenSSH takes it: the card itself opens SSH then.

    "" for kinds it does not know.
    """
    try:
        return (
            certificate.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        )
    except (ValueError, UnsupportedAlgorithm):
        return ""
