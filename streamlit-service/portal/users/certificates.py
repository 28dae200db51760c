"""The certificates that somebody came in with, as an administrator looks at them."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from portal import db
from portal.context import Portal
from portal.core.people import Actor, Certificate
from portal.users import permissions
from portal.users.service import known


class CardState(enum.StrEnum):
    """Whether it opens anything."""

    GOOD = "good"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True)
class CardUse:
    """A certificate: whose word it is, until when, and when and from where it was used."""

    fingerprint: str
    """SHA-256, in hexadecimal digits."""
    serial: str
    """In hexadecimal digits, as browsers show it; "" where the certificate was not kept."""
    issuer: str
    state: CardState
    not_after: datetime | None
    first_seen_at: datetime
    last_seen_at: datetime | None
    """To the hour."""
    last_address: str


def of_user(portal: Portal, actor: Actor, subject: str) -> list[CardUse]:
    """All of somebody's, the newest first. NotFound for who never signed in."""
    permissions.reader(actor)
    with portal.database.reading() as tx:
        cards = db.certificates.of_user(tx, known(tx, subject).id)
    return [_use(portal, card) for card in cards]


def _use(portal: Portal, card: Certificate) -> CardUse:
    serial = issuer = ""
    if card.pem:
        certificate = x509.load_pem_x509_certificate(card.pem.encode())
        serial, issuer = f"{certificate.serial_number:x}", certificate.issuer.rfc4514_string()
    return CardUse(
        fingerprint=card.fingerprint,
        serial=serial,
        issuer=issuer,
        state=_state(portal, card),
        not_after=card.not_after,
        first_seen_at=card.first_seen_at,
        last_seen_at=card.last_seen_at,
        last_address=card.last_address,
    )


def _state(portal: Portal, card: Certificate) -> CardState:
    if card.not_after is not None and card.not_after <= portal.now():
        return CardState.EXPIRED
    return CardState.REVOKED if portal.is_revoked(card) else CardState.GOOD
