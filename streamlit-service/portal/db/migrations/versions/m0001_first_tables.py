"""The first tables."""

import sqlalchemy as sa
from alembic import op

from portal.db.schema import UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the first tables."""
    op.create_table(
        "users",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("subject", sa.Text, nullable=False, unique=True),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("range_index", sa.Integer, nullable=False, unique=True),
        sa.Column("created_at", UtcDateTime, nullable=False),
    )
    op.create_table(
        "vms",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("engine_url", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("owner_id", sa.Integer, sa.ForeignKey("users.id")),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reachable", sa.Boolean, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("cpus", sa.Integer),
        sa.Column("memory_gb", sa.Float),
        sa.Column("last_seen_at", UtcDateTime),
    )
    op.create_table(
        "releases",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("image", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("reference", sa.Text, nullable=False, unique=True),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("standin", sa.Boolean, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
    )
    op.create_table(
        "deployments",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("owner_id", sa.Integer, sa.ForeignKey("users.id"), nullable=False),
        sa.Column("vm_id", sa.Integer, sa.ForeignKey("vms.id"), nullable=False),
        sa.Column("release_id", sa.Integer, sa.ForeignKey("releases.id"), nullable=False),
        sa.Column("slot", sa.Integer),
        sa.Column("gpus", sa.Integer, nullable=False),
        sa.Column("memory_gb", sa.Float, nullable=False),
        sa.Column("cpus", sa.Float, nullable=False),
        sa.Column("container_id", sa.Text),
        sa.Column("jupyter_token", sa.Text, nullable=False),
        sa.Column("restart_after_stop", sa.Boolean, nullable=False),
        sa.Column("stop_reason", sa.Text),
        sa.Column("failure", sa.JSON),
        sa.Column("progress", sa.JSON),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.Column("started_at", UtcDateTime),
        sa.Column("stopped_at", UtcDateTime),
        sa.Column("last_activity_at", UtcDateTime),
        sa.Column("lock_token", sa.Text),
        sa.Column("lock_expires_at", UtcDateTime),
    )
    op.create_index("ix_deployments_state", "deployments", ["state"])
    op.create_index("ix_deployments_owner_id", "deployments", ["owner_id"])
    op.create_index("ix_deployments_vm_id", "deployments", ["vm_id"])
    op.create_table(
        "leases",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("resource", sa.Text, nullable=False),
        sa.Column("deployment_id", sa.Text, sa.ForeignKey("deployments.id"), nullable=False),
        sa.Column("acquired_at", UtcDateTime, nullable=False),
        sa.Column("released_at", UtcDateTime),
    )
    op.create_index("ix_leases_deployment_id", "leases", ["deployment_id"])
    op.create_table(
        "audit_events",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("details", sa.Text, nullable=False),
        sa.Column("previous_hash", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
    )
    op.create_index("ix_audit_events_subject", "audit_events", ["subject"])
    op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
    )
    not_removed = sa.text("state != 'removed'")
    op.create_index(
        "one_live_name_per_owner",
        "deployments",
        ["owner_id", "name"],
        unique=True,
        sqlite_where=not_removed,
        postgresql_where=not_removed,
    )
    unreleased = sa.text("released_at IS NULL")
    op.create_index(
        "one_live_lease",
        "leases",
        ["kind", "resource"],
        unique=True,
        sqlite_where=unreleased,
        postgresql_where=unreleased,
    )
    op.execute("INSERT INTO audit_head (id, seq, hash) VALUES (1, 0, '')")
