"""Rows of the certificates that people signed in with."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa

from portal.core.people import Certificate
from portal.db import rows
from portal.db.connection import Tx, one_or_none
from portal.db.people_schema import certificates


def known(tx: Tx, fingerprint: str, user_id: int) -> Certificate | None:
    """The certificate, where the user has signed in with it before."""
    query = sa.select(certificates).where(
        certificates.c.fingerprint == fingerprint, certificates.c.user_id == user_id
    )
    return one_or_none(tx, query, rows.certificate)


def holder(tx: Tx, fingerprint: str) -> int | None:
    """The id of the user who came in with it before."""
    query = sa.select(certificates.c.user_id).where(certificates.c.fingerprint == fingerprint)
    found: int | None = tx.execute(query).scalar()
    return found


def of_user(tx: Tx, user_id: int) -> list[Certificate]:
    """All of a user's, the newest first."""
    query = sa.select(certificates).where(certificates.c.user_id == user_id)
    found = tx.execute(query.order_by(certificates.c.first_seen_at.desc()))
    return [rows.certificate(row) for row in found]


def of_users(tx: Tx, user_ids: Collection[int]) -> dict[int, list[Certificate]]:
    """User id → all of theirs."""
    found: dict[int, list[Certificate]] = {}
    query = sa.select(certificates).where(certificates.c.user_id.in_(user_ids))
    for row in tx.execute(query):
        found.setdefault(row.user_id, []).append(rows.certificate(row))
    return found


def put(tx: Tx, user_id: int, certificate: Certificate) -> None:
    """Add it; what is known of its key from before certificates were kept goes."""
    same = (certificates.c.ssh_key == certificate.ssh_key) & certificates.c.not_after.is_(None)
    again = certificates.c.fingerprint == certificate.fingerprint
    tx.execute(
        certificates.delete().where(sa.or_(again, (certificates.c.user_id == user_id) & same))
    )
    tx.execute(certificates.insert().values(user_id=user_id, **vars(certificate)))


def seen(
    tx: Tx, fingerprint: str, now: datetime, address: str, before: datetime | None = None
) -> None:
    """Note that somebody came in with it, from an address ("": as before).

    Unless that is known since `before`.
    """
    values: dict[str, object] = {"last_seen_at": now} | (
        {"last_address": address} if address else {}
    )
    which = certificates.c.fingerprint == fingerprint
    if before is not None:
        seen_at = certificates.c.last_seen_at
        which &= sa.or_(seen_at.is_(None), seen_at < before)
    tx.execute(certificates.update().where(which).values(**values))


def move(tx: Tx, before: int, after: int) -> None:
    """One user's become another's."""
    tx.execute(certificates.update().where(certificates.c.user_id == before).values(user_id=after))


def give_back(tx: Tx, before: int, subject: str, after: int | None) -> None:
    """Those of a user that name this subject become another's, or are forgotten.

    Those whose subject is not known are forgotten until their next sign-in.
    """
    theirs = certificates.c.user_id == before
    tx.execute(certificates.delete().where(theirs, certificates.c.subject == ""))
    which = theirs & (certificates.c.subject == subject)
    if after is None:
        tx.execute(certificates.delete().where(which))
    else:
        tx.execute(certificates.update().where(which).values(user_id=after))


def complete(tx: Tx, certificate: Certificate) -> None:
    """Note what one that was known before says of its holder."""
    same = certificates.c.fingerprint == certificate.fingerprint
    said = {name: getattr(certificate, name) for name in ("subject", "upn", "root")}
    tx.execute(certificates.update().where(same).values(**said))
