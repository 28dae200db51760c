"""Indexes for questions that scanned whole tables: ports given back, usage, audit, releases."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the indexes."""
    op.create_index("leases_by_resource", "leases", ["kind", "resource", "released_at"])
    op.create_index("leases_by_start", "leases", ["kind", "acquired_at"])
    op.create_index("audit_by_action", "audit_events", ["action", "at"])
    op.create_index("deployments_by_release", "deployments", ["release_id"])
