"""Rows of ports that something else than the portal's containers holds on a VM."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa

from portal.db.connection import Tx
from portal.db.schema import blocked_ports

OLD = timedelta(days=1)


def put(tx: Tx, vm_id: int, port: int, now: datetime) -> None:
    """Remember that a port was found in use, now; forget what is old."""
    tx.execute(blocked_ports.delete().where(blocked_ports.c.since < now - OLD))
    values = {"vm_id": vm_id, "port": port, "since": now}
    key = (blocked_ports.c.vm_id == vm_id, blocked_ports.c.port == port)
    if tx.execute(blocked_ports.update().where(*key).values(since=now)).rowcount == 0:
        tx.execute(blocked_ports.insert().values(**values))


def since(tx: Tx, earliest: datetime) -> dict[int, dict[int, datetime]]:
    """VM id → port → when it was last found in use, since `earliest`."""
    found: dict[int, dict[int, datetime]] = {}
    for row in tx.execute(sa.select(blocked_ports).where(blocked_ports.c.since >= earliest)):
        found.setdefault(row.vm_id, {})[row.port] = row.since
    return found
