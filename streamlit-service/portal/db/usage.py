"""What leases add up to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from portal.db.connection import Tx
from portal.db.leases import RUN
from portal.db.people_schema import users
from portal.db.schema import deployments, leases, releases, vms


def intervals(
    tx: Tx, since: datetime, until: datetime, user_id: int | None = None
) -> list[Mapping[str, Any]]:
    """Leases of GPUs and compute that overlap the period, of one user or all, with their purpose.

    What was used by an account that is part of another now counts as that one's. The group is the
    one that the deployment counted for when the lease began.
    """
    owner = users.alias("owner")
    query = (
        sa.select(
            leases.c.kind,
            leases.c.acquired_at,
            leases.c.released_at,
            deployments.c.memory_gb,
            deployments.c.cpus,
            users.c.subject,
            users.c.display_name,
            leases.c.group,
            releases.c.image,
            vms.c.name.label("vm"),
        )
        .join(deployments, deployments.c.id == leases.c.deployment_id)
        .join(owner, owner.c.id == deployments.c.owner_id)
        .join(users, users.c.id == sa.func.coalesce(owner.c.merged_into, owner.c.id))
        .join(releases, releases.c.id == deployments.c.release_id)
        .outerjoin(vms, vms.c.id == deployments.c.vm_id)
        .where(leases.c.kind.in_(RUN), leases.c.acquired_at < until)
        .where(sa.or_(leases.c.released_at.is_(None), leases.c.released_at > since))
    )
    if user_id is not None:
        query = query.where(users.c.id == user_id)
    return [dict(row._mapping) for row in tx.execute(query)]
