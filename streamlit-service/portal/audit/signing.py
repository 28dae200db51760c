"""Signed checkpoints of the chain, and signatures of exports: by the worker, which has the key.

Who can write the whole database can rebuild the chain, but not what was signed before.
"""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from portal import db
from portal.context import Portal
from portal.core import signatures
from portal.core.errors import Conflict
from portal.core.signatures import Sign, Signed
from portal.db.audit import Link

WORKER, MADE = "worker", "audit.checkpoint"
AT_ONCE = 100_000
"""Events that are removed in one transaction."""


def checkpoint(portal: Portal, sign: Sign) -> None:
    """Sign number and hash of the last event, as an event; none where nothing came since."""
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        seq, hash_ = db.audit.head(tx)
        if all(last.action == MADE for last in db.audit.links(tx, seq, seq)):
            return
        _note_key(portal, tx, sign)
        seq, hash_ = db.audit.head(tx)
        signed = sign(signatures.checkpoint(portal.settings.public_origin, seq, hash_))
        origin = portal.settings.public_origin
        said = {"seq": seq, "hash": hash_, "origin": origin, **vars(signed)}
        db.audit.append(tx, portal.now(), WORKER, MADE, "audit:trail", **said)


def vouches(link: Link) -> bool:
    """Whether a checkpoint is signed by the key in it, and names the event before it."""
    try:
        said = json.loads(link.details)
        text = signatures.checkpoint(said["origin"], said["seq"], said["hash"])
        key = load_pem_public_key(said["key"].encode())
        if not isinstance(key, ec.EllipticCurvePublicKey):
            return False
        key.verify(base64.b64decode(said["signature"]), text.encode(), ec.ECDSA(hashes.SHA256()))
    except (KeyError, TypeError, ValueError, AttributeError, InvalidSignature):
        return False
    return (said["seq"], said["hash"]) == (link.seq - 1, link.previous_hash)


def _note_key(portal: Portal, tx: db.Tx, sign: Sign) -> None:
    """A key that is another than before is an event: both are needed to verify what spans both."""
    before = db.audit.last_seq(tx, MADE)
    known = json.loads(db.audit.links(tx, before, before)[0].details)["key"] if before else ""
    key = sign("").key
    if known and known != key:
        said = {"before": known, "after": key}
        db.audit.append(tx, portal.now(), WORKER, "audit.key_changed", "audit:trail", **said)


def sign_export(portal: Portal, sign: Sign, body: str, last: int, hash_: str) -> Signed:
    """Sign an export that ends with an event of the records. Conflict where it is another."""
    with portal.database.reading() as tx:
        known = db.audit.links(tx, last, last)
    if last and (not known or known[0].hash != hash_):
        raise Conflict("not_the_trail", "The export is not of this audit trail.", "Export again.")
    return sign(signatures.export(portal.settings.public_origin, last, hash_, body))


def prune(portal: Portal) -> int:
    """Remove events older than PORTAL_AUDIT_DAYS; how many. What is left verifies.

    Only what a checkpoint vouches for, and what the collector has, where there is one.
    """
    days = portal.settings.audit_days
    if not days:
        return 0
    now = portal.now()
    with portal.database.transaction() as tx:
        db.serialize_writers(tx)
        base = db.audit.base(tx)
        until = min(_ends(portal, tx, now - timedelta(days=days)), base + AT_ONCE)
        if until <= base:
            return 0
        db.audit.prune(tx, now, WORKER, until, days=days)
    return until - base


def _ends(portal: Portal, tx: db.Tx, before: datetime) -> int:
    """The last event that may go."""
    limits = [db.audit.last_before(tx, before), db.audit.last_seq(tx, MADE) or 0]
    if portal.settings.offload_to:
        sent = db.audit.offload(tx)
        limits.append(sent[0] if sent else 0)
    return min(limits)
