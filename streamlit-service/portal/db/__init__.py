"""The records: all SQL, migrations, the audit chain and backups. Nobody else knows SQLAlchemy."""

from portal.db import (
    audit,
    backup,
    blocked_ports,
    deployments,
    gpus,
    leaders,
    leases,
    quotas,
    releases,
    rows,
    usage,
    users,
    vms,
)
from portal.db.connection import (
    NAME_INDEX,
    Database,
    DatabaseError,
    Taken,
    Tx,
    ping,
    serialize_writers,
)

__all__ = [
    "NAME_INDEX",
    "Database",
    "DatabaseError",
    "Taken",
    "Tx",
    "audit",
    "backup",
    "blocked_ports",
    "deployments",
    "gpus",
    "leaders",
    "leases",
    "ping",
    "quotas",
    "releases",
    "rows",
    "serialize_writers",
    "usage",
    "users",
    "vms",
]
