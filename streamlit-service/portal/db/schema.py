"""The tables; those about people are in people_schema.py.

The migrations create them; a test holds the two equal.
"""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.engine import Dialect


class UtcDateTime(sa.TypeDecorator[datetime]):
    """An aware UTC datetime on every database (SQLite forgets zones)."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """Refuse naive datetimes; store UTC."""
        if value is not None and value.tzinfo is None:
            raise ValueError("a datetime without a zone cannot be stored")
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """Give back aware UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = sa.MetaData()

vms = sa.Table(
    "vms",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("engine_url", sa.Text, nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("owner_id", sa.Integer, sa.ForeignKey("users.id")),
    sa.Column("pool", sa.Text, nullable=False, server_default="shared"),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reachable", sa.Boolean, nullable=False),
    sa.Column("error", sa.Text),
    sa.Column("cpus", sa.Integer),
    sa.Column("memory_gb", sa.Float),
    sa.Column("driver", sa.Text),
    sa.Column("cuda", sa.Text),
    sa.Column("gpu_access", sa.Text),
    sa.Column("gpu_problem", sa.Text),
    sa.Column("last_seen_at", UtcDateTime),
    sa.Column("firewall", sa.Text),
    sa.Column("disk_free_gb", sa.Float),
    sa.Column("clock_skew_s", sa.Float),
    sa.Column("checked_at", UtcDateTime),
    sa.Column("synchronised", sa.Boolean),
    sa.Column("ports_reserved", sa.Boolean),
    sa.Column("drain_by", UtcDateTime),
    sa.Column("drain_reason", sa.Text, nullable=False, server_default=""),
    sa.Column("breaches", sa.Text, nullable=False, server_default=""),
)

# What containers reached on each VM, as last measured. Not in backups.
isolation = sa.Table(
    "isolation",
    metadata,
    sa.Column("vm_id", sa.Integer, sa.ForeignKey("vms.id"), primary_key=True),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("took_s", sa.Float, nullable=False),
    sa.Column("problem", sa.Text, nullable=False),
    sa.Column("cells", sa.JSON, nullable=False),
)

# What health checks found last; made anew at each look. Not in backups.
findings = sa.Table(
    "findings",
    metadata,
    sa.Column("check", sa.Text, primary_key=True),
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("message", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("next_step", sa.Text, nullable=False),
    sa.Column("section", sa.Text, nullable=False),
    sa.Column("since", UtcDateTime, nullable=False),
    sa.Column("seen_at", UtcDateTime, nullable=False),
)

announcements = sa.Table(
    "announcements",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("level", sa.Text, nullable=False),
    sa.Column("audience", sa.Text, nullable=False),
    sa.Column("begins_at", UtcDateTime, nullable=False),
    sa.Column("ends_at", UtcDateTime, nullable=False, index=True),
    sa.Column("author", sa.Text, nullable=False),
)

blocked_ports = sa.Table(
    "blocked_ports",
    metadata,
    sa.Column("vm_id", sa.Integer, sa.ForeignKey("vms.id"), primary_key=True),
    sa.Column("port", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("since", UtcDateTime, nullable=False),
)

leaders = sa.Table(
    "leaders",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("token", sa.Text, nullable=False),
    sa.Column("expires_at", UtcDateTime, nullable=False),
)

gpus = sa.Table(
    "gpus",
    metadata,
    sa.Column("uuid", sa.Text, primary_key=True),
    sa.Column("vm_id", sa.Integer, sa.ForeignKey("vms.id"), nullable=False, index=True),
    sa.Column("index", sa.Integer, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("parent", sa.Text),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("problem", sa.Text),
    sa.Column("memory_gb", sa.Float, nullable=False),
    sa.Column("memory_used_gb", sa.Float),
    sa.Column("utilisation", sa.Float),
    sa.Column("temperature", sa.Float),
)

# scope "default" (key ""), "group" (its name), "user" (subject) or "member" (group/subject: what
# one member may hold of a group's); an empty cell: no limit of its own.
quotas = sa.Table(
    "quotas",
    metadata,
    sa.Column("scope", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("gpus", sa.Integer),
    sa.Column("memory_gb", sa.Float),
    sa.Column("cpus", sa.Float),
    sa.Column("deployments", sa.Integer),
)

releases = sa.Table(
    "releases",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("image", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("reference", sa.Text, nullable=False, unique=True),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("standin", sa.Boolean, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("approved_at", UtcDateTime),
    sa.Column("published_by", sa.Text, nullable=False, server_default=""),
    sa.Column("approved_by", sa.Text, nullable=False, server_default=""),
    sa.Column("highlights", sa.JSON),
    sa.Column("download_bytes", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("scanned_at", UtcDateTime),
    sa.Column("refused_for", sa.Text, nullable=False, server_default=""),
    sa.Column("problem", sa.Text, nullable=False, server_default=""),
    sa.Column("waived", sa.Integer, nullable=False, server_default="0"),
    sa.Column("waived_until", sa.Date),
    sa.Column("verified_at", UtcDateTime),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
)
# A version names one digest for ever. Releases from before they were published are left out.
PUBLISHED = releases.c.published_by != ""
sa.Index(
    "one_digest_per_version",
    releases.c.image,
    releases.c.version,
    unique=True,
    sqlite_where=PUBLISHED,
    postgresql_where=PUBLISHED,
)

# What was found in a release, apart from it: large, and wanted on one page only.
reports = sa.Table(
    "reports",
    metadata,
    sa.Column("release_id", sa.Integer, sa.ForeignKey("releases.id"), primary_key=True),
    sa.Column("packages", sa.JSON, nullable=False),
    sa.Column("report", sa.JSON, nullable=False),
)

# By whom a release is signed, as the registry showed it last: evidence.
release_signatures = sa.Table(
    "release_signatures",
    metadata,
    sa.Column("release_id", sa.Integer, sa.ForeignKey("releases.id"), primary_key=True),
    sa.Column("payload", sa.Text, nullable=False),
    sa.Column("signature", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
)

# Releases on VMs, as last seen; total_bytes 0 while not known.
vm_images = sa.Table(
    "vm_images",
    metadata,
    sa.Column("vm_id", sa.Integer, sa.ForeignKey("vms.id"), primary_key=True),
    sa.Column("release_id", sa.Integer, sa.ForeignKey("releases.id"), primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("done_bytes", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("total_bytes", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("updated_at", UtcDateTime, nullable=False),
)

deployments = sa.Table(
    "deployments",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("owner_id", sa.Integer, sa.ForeignKey("users.id"), nullable=False, index=True),
    sa.Column("vm_id", sa.Integer, sa.ForeignKey("vms.id"), index=True),
    sa.Column("release_id", sa.Integer, sa.ForeignKey("releases.id"), nullable=False),
    sa.Column("slot", sa.Integer),
    sa.Column("gpus", sa.Integer, nullable=False),
    sa.Column("gpu_model", sa.Text, nullable=False, server_default=""),
    sa.Column("gpu_uuids", sa.JSON),
    sa.Column("memory_gb", sa.Float, nullable=False),
    sa.Column("cpus", sa.Float, nullable=False),
    sa.Column("ssh", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("container_id", sa.Text),  # unused; goes once no service of 0.1 can still run
    sa.Column("jupyter_token", sa.Text, nullable=False),
    sa.Column("restart_after_stop", sa.Boolean, nullable=False),
    sa.Column("stop_reason", sa.Text),
    sa.Column("stop_note", sa.Text),
    sa.Column("failure", sa.JSON),
    sa.Column("trouble", sa.JSON(none_as_null=True)),
    sa.Column("progress", sa.JSON),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    sa.Column("pending_since", UtcDateTime),
    sa.Column("started_at", UtcDateTime),
    sa.Column("stopped_at", UtcDateTime),
    sa.Column("last_activity_at", UtcDateTime),
    sa.Column("waiting_since", UtcDateTime),
    sa.Column("waits_for", sa.Text),
    sa.Column("position", sa.Integer),
    sa.Column("impossible_since", UtcDateTime),
    sa.Column("lock_token", sa.Text),
    sa.Column("lock_expires_at", UtcDateTime),
    sa.Column("group", sa.Text, nullable=False, server_default=""),
)
sa.Index(
    "deployments_by_group",
    deployments.c.group,
    sqlite_where=deployments.c.state != "removed",
    postgresql_where=deployments.c.state != "removed",
)
sa.Index(
    "one_live_name_per_owner",
    deployments.c.owner_id,
    deployments.c.name,
    unique=True,
    sqlite_where=deployments.c.state != "removed",
    postgresql_where=deployments.c.state != "removed",
)

# kind "port" (its number), "gpu" (its UUID) or "compute" (the deployment itself: its memory and
# CPUs).
leases = sa.Table(
    "leases",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("resource", sa.Text, nullable=False),
    sa.Column(
        "deployment_id", sa.Text, sa.ForeignKey("deployments.id"), nullable=False, index=True
    ),
    sa.Column("group", sa.Text, nullable=False, server_default=""),
    sa.Column("acquired_at", UtcDateTime, nullable=False),
    sa.Column("released_at", UtcDateTime),
)
# The database, not code, makes a double lease impossible.
sa.Index(
    "one_live_lease",
    leases.c.kind,
    leases.c.resource,
    unique=True,
    sqlite_where=leases.c.released_at.is_(None),
    postgresql_where=leases.c.released_at.is_(None),
)

# When a port was last given back; usage in a period.
sa.Index("leases_by_resource", leases.c.kind, leases.c.resource, leases.c.released_at)
sa.Index("leases_by_start", leases.c.kind, leases.c.acquired_at)
sa.Index("deployments_by_release", deployments.c.release_id)


def _figures(name: str) -> sa.Table:
    return sa.Table(
        name,
        metadata,
        sa.Column("deployment_id", sa.Text, sa.ForeignKey("deployments.id"), primary_key=True),
        sa.Column("at", UtcDateTime, primary_key=True, index=True),
        sa.Column("cpus", sa.Float, nullable=False),
        sa.Column("memory_gb", sa.Float, nullable=False),
        sa.Column("memory_peak_gb", sa.Float, nullable=False),
        sa.Column("gpu_utilisation", sa.Float),
        sa.Column("gpu_memory_gb", sa.Float),
        sa.Column("home_gb", sa.Float),
    )


# What containers used, by the minute for a day, and by the hour for 90 days.
recent_figures = _figures("recent_figures")
figures = _figures("figures")

audit_events = sa.Table(
    "audit_events",
    metadata,
    sa.Column(
        "seq",
        sa.BigInteger().with_variant(sa.Integer, "sqlite"),
        primary_key=True,
        autoincrement=False,
    ),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False, index=True),
    sa.Column("details", sa.Text, nullable=False),
    sa.Column("previous_hash", sa.Text, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
)

# The end of the chain, one row: taking its lock puts writers in order on every database.
sa.Index("audit_by_action", audit_events.c.action, audit_events.c.at)
sa.Index("audit_by_actor", audit_events.c.actor, audit_events.c.seq)
sa.Index("audit_by_time", audit_events.c.at)

audit_head = sa.Table(
    "audit_head",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
    sa.Column("base_seq", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("base_hash", sa.Text, nullable=False, server_default=""),
)

# How far the collector elsewhere has it: one row. Not in backups.
offloads = sa.Table(
    "offloads",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("sent", sa.BigInteger, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("problem", sa.Text, nullable=False),
)
