"""Revocation lists (RFC 5280, section 5) from a folder, verified, and kept in memory.

The folder is read again every REREAD_S; a list counts from then on. Somebody else fills it:
admin.py crl fetch, or whatever your organisation distributes lists with.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.x509 import Certificate, CertificateRevocationList, ExtensionNotFound
from cryptography.x509.oid import NameOID
from portal.core.errors import NotAuthenticated

REREAD_S = 5.0
SKEW = timedelta(minutes=5)
"""How far an authority's clock may be ahead of ours."""
SUFFIXES = (".crl", ".pem")
OFF, SOFT, STRICT = "off", "soft", "strict"
log = structlog.get_logger()


@dataclass(frozen=True)
class RevocationList:
    """One verified list, and for whose certificates it speaks."""

    file: str
    issuer: x509.Name
    signer: bytes | None
    """Key identifier of the authority's key that signed it."""
    points: frozenset[str]
    """Only certificates that name one of these distribution points; empty: all."""
    people: bool
    authorities: bool
    serials: frozenset[int]
    this_update: datetime
    next_update: datetime

    def covers(self, certificate: Certificate) -> bool:
        """RFC 5280, 6.3.3 (b) and (f): same issuer, key, distribution point and kind."""
        if certificate.issuer != self.issuer or not (
            self.authorities if _is_ca(certificate) else self.people
        ):
            return False
        key = _issuer_key(certificate)
        if key and self.signer and key != self.signer:
            return False
        return not self.points or bool(self.points & _points(certificate))


@dataclass(frozen=True)
class Held:
    """What the folder holds: lists that count, and files that do not, each with the reason."""

    lists: tuple[RevocationList, ...] = ()
    unusable: tuple[tuple[str, str], ...] = ()

    def covering(self, certificate: Certificate) -> list[RevocationList]:
        """The lists that speak for a certificate, the newest first."""
        covering = [crl for crl in self.lists if crl.covers(certificate)]
        return sorted(covering, key=lambda crl: crl.this_update, reverse=True)


class RevocationLists:
    """Thread-safe.

    `mode`: SOFT lets people in where no current list speaks for them, STRICT does not.
    """

    def __init__(self, folder: Path, bundle: Sequence[Certificate], mode: str) -> None:
        self._folder, self._bundle, self._strict = folder, tuple(bundle), mode == STRICT
        self._guard = threading.Lock()
        self._held, self._read_again_at = Held(), 0.0
        self._state: tuple[object, ...] | None = None

    def check(self, certificate: Certificate) -> None:
        """Raise NotAuthenticated when it or an authority above is revoked, or that is unknown."""
        held, now = self.held(), datetime.now(UTC)
        for member in (certificate, *self._above(certificate)):
            if any(member.serial_number in crl.serials for crl in held.covering(member)):
                raise NotAuthenticated(
                    "revoked",
                    "Your certificate was revoked by its authority.",
                    "Use your newest card, or ask the office that issues cards.",
                )
        if self._strict and not any(crl.next_update > now for crl in held.covering(certificate)):
            raise NotAuthenticated(
                "revocation_unknown",
                "It cannot be known whether your certificate was revoked: its authority's list is"
                " missing or too old.",
                "This is not your card's fault. Ask your portal administrator to renew the"
                " revocation lists.",
                cause=certificate.issuer.rfc4514_string(),
            )

    def held(self) -> Held:
        """The lists as of now, or as of REREAD_S ago."""
        with self._guard:
            if time.monotonic() >= self._read_again_at:
                state = _state(self._folder)
                if state != self._state:
                    self._held, self._state = load(self._folder, self._bundle), state
                self._read_again_at = time.monotonic() + REREAD_S
            return self._held

    def _above(self, certificate: Certificate) -> list[Certificate]:
        """Its intermediates. A root revokes nothing of itself: taking it out of the bundle does."""
        issuers: list[Certificate] = []
        names = {certificate.issuer}
        while new := [
            ca
            for ca in self._bundle
            if ca.subject in names and ca.issuer != ca.subject and ca not in issuers
        ]:
            issuers += new
            names = {ca.issuer for ca in new}
        return issuers


def by_authority(bundle: Sequence[Certificate], held: Held) -> dict[str, RevocationList | None]:
    """Each authority below a root, by common name → the list for people that counts longest."""
    longest = {}
    below = {ca.subject for ca in bundle if ca.subject != ca.issuer}
    # A root alone issues people's certificates itself.
    for issuer in below or {ca.subject for ca in bundle}:
        names = issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
        lists = [crl for crl in held.lists if crl.issuer == issuer and crl.people]
        who = str(names[0].value) if names else issuer.rfc4514_string()
        longest[who] = max(lists, key=lambda crl: crl.next_update, default=None)
    return longest


def load(folder: Path, bundle: Sequence[Certificate]) -> Held:
    """Every list of a folder. What is no list of these authorities is reported, never used."""
    lists, unusable = [], []
    for path in sorted(folder.glob("*")) if folder.is_dir() else []:
        if path.suffix not in SUFFIXES:
            continue
        try:
            lists.append(read(path.name, path.read_bytes(), bundle))
        except (ValueError, OSError) as error:
            unusable.append((path.name, str(error)))
            log.warning("revocation_list_unusable", file=path.name, cause=str(error))
    return Held(tuple(_newest(lists)), tuple(unusable))


def read(name: str, content: bytes, bundle: Sequence[Certificate]) -> RevocationList:
    """One list, PEM or DER, verified. Raises ValueError saying why it cannot be used."""
    try:
        pem = content.lstrip().startswith(b"-----BEGIN")
        crl = x509.load_pem_x509_crl(content) if pem else x509.load_der_x509_crl(content)
    except ValueError as error:
        raise ValueError("it is no certificate revocation list") from error
    signer = next((ca for ca in bundle if ca.subject == crl.issuer and _signed(crl, ca)), None)
    if signer is None:
        raise ValueError(f"no accepted authority signed it; it names {crl.issuer.rfc4514_string()}")
    scope = _scope(crl)
    if crl.last_update_utc > datetime.now(UTC) + SKEW:
        raise ValueError("it is from the future")
    if crl.next_update_utc is None:
        raise ValueError("it does not say until when it counts")
    return RevocationList(
        file=name,
        issuer=crl.issuer,
        signer=_own_key(signer),
        points=_names(scope.full_name) if scope else frozenset(),
        people=not (scope and scope.only_contains_ca_certs),
        authorities=not (scope and scope.only_contains_user_certs),
        serials=frozenset(entry.serial_number for entry in crl),
        this_update=crl.last_update_utc,
        next_update=crl.next_update_utc,
    )


def _scope(crl: CertificateRevocationList) -> x509.IssuingDistributionPoint | None:
    """What the list is limited to.

    RFC 5280, 5.2: with a critical extension we do not know, it must not be used.
    """
    scope = None
    try:
        extensions = list(crl.extensions)
    except (
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
    ) as error:  # neither is a ValueError
        raise ValueError(f"its extensions cannot be read: {error}") from error
    for extension in extensions:
        value = extension.value
        if isinstance(value, x509.DeltaCRLIndicator):
            raise ValueError("it lists changes only (a delta list)")  # noqa: TRY004
        if isinstance(value, x509.IssuingDistributionPoint):
            if value.indirect_crl or value.only_contains_attribute_certs or value.only_some_reasons:
                raise ValueError(
                    "it is for other certificates or some reasons "
                    "only (an indirect or partial list)"
                )
            scope = value
        elif extension.critical:
            raise ValueError(
                f"it has a critical extension that is unknown here: {extension.oid.dotted_string}"
            )
    return scope


def _signed(crl: CertificateRevocationList, ca: Certificate) -> bool:
    try:
        if not ca.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign:
            return False
    except ExtensionNotFound:
        pass
    try:
        return crl.is_signature_valid(ca.public_key())  # type: ignore[arg-type]  # other kinds raise TypeError
    except TypeError:
        return False


def _newest(lists: Iterable[RevocationList]) -> list[RevocationList]:
    """The newest list of each authority's key and scope: an older one must not count beside it."""
    newest: dict[object, RevocationList] = {}
    for crl in sorted(lists, key=lambda crl: crl.this_update):
        newest[crl.issuer, crl.signer, crl.points, crl.people, crl.authorities] = crl
    return list(newest.values())


def _state(folder: Path) -> tuple[object, ...]:
    """What changes when a list comes, goes or becomes readable; links are followed."""
    try:
        with os.scandir(folder) as entries:
            return tuple(sorted(_entry(entry) for entry in entries))
    except OSError:
        return ("unreadable",)


def _entry(entry: os.DirEntry[str]) -> tuple[str, int, int, int]:
    try:
        status = entry.stat()
    except OSError:  # a link that leads nowhere: that one list is missing, not all
        return (entry.name, 0, 0, 0)
    return (entry.name, status.st_mtime_ns, status.st_ctime_ns, status.st_size)


def _is_ca(certificate: Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except ExtensionNotFound:
        return False


def _issuer_key(certificate: Certificate) -> bytes | None:
    try:
        return certificate.extensions.get_extension_for_class(
            x509.AuthorityKeyIdentifier
        ).value.key_identifier
    except ExtensionNotFound:
        return None


def _own_key(ca: Certificate) -> bytes | None:
    try:
        return ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except ExtensionNotFound:
        return None


def _points(certificate: Certificate) -> frozenset[str]:
    try:
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except ExtensionNotFound:
        return frozenset()
    return frozenset(name for point in points for name in _names(point.full_name))


def _names(names: Sequence[x509.GeneralName] | None) -> frozenset[str]:
    return frozenset(str(name.value) for name in names or ())
