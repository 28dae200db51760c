"""What the gateway asks at every request: one narrow query, whatever else the records hold."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from portal.core.models import State
from portal.core.people import Role
from portal.db.connection import Database
from portal.db.consents import Consent
from portal.db.leases import PORT
from portal.db.people_schema import aliases, consents, users
from portal.db.schema import deployments, leases, vms


@dataclass(frozen=True)
class Holder:
    """The deployment that holds a port, as far as the gateway needs it."""

    id: str
    name: str
    state: State
    owner_id: int
    slot: int | None
    address: str | None
    """Of its VM."""
    token: str
    last_activity_at: datetime | None
    failure: str
    """Why it failed; "" when it did not."""
    position: int | None


@dataclass(frozen=True)
class Asked:
    """Who asks, and who holds the port."""

    user_id: int
    role: Role
    range_index: int | None
    retired_at: datetime | None
    disabled_at: datetime | None
    last_seen_at: datetime | None
    ends_at: datetime | None
    root: str
    sessions_ended_at: datetime | None
    consent: Consent | None
    holder: Holder | None


_HELD = sa.and_(
    leases.c.kind == PORT,
    leases.c.resource == sa.bindparam("port"),
    leases.c.released_at.is_(None),
)
_WHO = sa.or_(
    users.c.subject == sa.bindparam("subject"),
    users.c.id
    == sa.select(aliases.c.user_id)
    .where(aliases.c.subject == sa.bindparam("subject"))
    .scalar_subquery(),
)
_OWN = sa.select(users.c.subject, users.c.range_index).where(_WHO)
_QUERY = (
    sa.select(
        users.c.id.label("user_id"),
        users.c.role,
        users.c.range_index,
        users.c.retired_at,
        users.c.disabled_at,
        users.c.last_seen_at,
        users.c.ends_at,
        users.c.sessions_ended_at,
        consents.c.text_hash,
        consents.c.accepted_at,
        consents.c.seen_at,
        sa.case(
            (users.c.subject == sa.bindparam("subject"), users.c.root), else_=aliases.c.root
        ).label("root"),
        deployments.c.id,
        deployments.c.name,
        deployments.c.state,
        deployments.c.owner_id,
        deployments.c.slot,
        vms.c.address,
        deployments.c.jupyter_token,
        deployments.c.last_activity_at,
        deployments.c.failure,
        deployments.c.position,
    )
    .select_from(users)
    .outerjoin(
        aliases,
        sa.and_(aliases.c.user_id == users.c.id, aliases.c.subject == sa.bindparam("subject")),
    )
    .outerjoin(
        consents,
        sa.and_(
            consents.c.user_id == users.c.id, consents.c.fingerprint == sa.bindparam("fingerprint")
        ),
    )
    .outerjoin(leases, _HELD)
    .outerjoin(deployments, deployments.c.id == leases.c.deployment_id)
    .outerjoin(vms, vms.c.id == deployments.c.vm_id)
    .where(_WHO)
)


def range_of(database: Database, subject: str) -> tuple[str, int | None] | None:
    """Somebody's main subject and range; None for who never signed in."""
    row = database.first(_OWN, {"subject": subject})
    return (row.subject, row.range_index) if row else None


def asked(database: Database, subject: str, port: str, fingerprint: str) -> Asked | None:
    """Who asks, and who holds a port (ports.lease_name); None for who never signed in."""
    row = database.first(_QUERY, {"subject": subject, "port": port, "fingerprint": fingerprint})
    if row is None:
        return None
    who = (
        *(
            row.user_id,
            Role(row.role),
            row.range_index,
            row.retired_at,
            row.disabled_at,
            row.last_seen_at,
        ),
        *(row.ends_at, row.root, row.sessions_ended_at),
        Consent(row.text_hash, row.accepted_at, row.seen_at) if row.text_hash else None,
    )
    if row.id is None:
        return Asked(*who, None)
    holder = Holder(
        row.id,
        row.name,
        State(row.state),
        row.owner_id,
        row.slot,
        row.address,
        row.jupyter_token,
        row.last_activity_at,
        (row.failure or {}).get("message", ""),
        row.position,
    )
    return Asked(*who, holder)
