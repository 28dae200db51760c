"""GPUs, quotas, groups, pools, and deployments that wait for a VM."""

import sqlalchemy as sa
from alembic import op

from portal.db.schema import UtcDateTime

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add them. Deployments from before hold the memory that their lease now says they hold."""
    op.add_column("users", sa.Column("group", sa.Text, nullable=False, server_default=""))
    op.add_column("leases", sa.Column("group", sa.Text, nullable=False, server_default=""))
    op.add_column("releases", sa.Column("approved_at", UtcDateTime))
    op.execute("UPDATE releases SET approved_at = created_at")
    op.add_column("vms", sa.Column("pool", sa.Text, nullable=False, server_default="shared"))
    for name in ("driver", "cuda", "gpu_access", "gpu_problem"):
        op.add_column("vms", sa.Column(name, sa.Text))
    op.create_table(
        "gpus",
        sa.Column("uuid", sa.Text, primary_key=True),
        sa.Column("vm_id", sa.Integer, sa.ForeignKey("vms.id"), nullable=False),
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
    op.create_index("ix_gpus_vm_id", "gpus", ["vm_id"])
    op.create_table(
        "quotas",
        sa.Column("scope", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("gpus", sa.Integer),
        sa.Column("memory_gb", sa.Float),
        sa.Column("cpus", sa.Float),
        sa.Column("deployments", sa.Integer),
    )
    _deployments()
    # Usage is counted from leases; who holds memory and CPUs now has held them since the last
    # start.
    op.execute(
        "INSERT INTO leases (kind, resource, deployment_id, acquired_at) "
        "SELECT 'compute', id, id, COALESCE(started_at, updated_at) FROM deployments "
        "WHERE state IN ('pending', 'pulling', 'starting', 'running', 'stopping')"
    )


def _deployments() -> None:
    not_removed = sa.text("state != 'removed'")
    # SQLite copies the table, and not this index's condition.
    op.drop_index("one_live_name_per_owner", "deployments")
    with op.batch_alter_table("deployments") as table:
        table.alter_column("vm_id", existing_type=sa.Integer, nullable=True)
        table.add_column(sa.Column("gpu_model", sa.Text, nullable=False, server_default=""))
        table.add_column(sa.Column("gpu_uuids", sa.JSON))
        table.add_column(sa.Column("waiting_since", UtcDateTime))
        table.add_column(sa.Column("waits_for", sa.Text))
        table.add_column(sa.Column("position", sa.Integer))
        table.add_column(sa.Column("impossible_since", UtcDateTime))
    op.create_index(
        "one_live_name_per_owner",
        "deployments",
        ["owner_id", "name"],
        unique=True,
        sqlite_where=not_removed,
        postgresql_where=not_removed,
    )
