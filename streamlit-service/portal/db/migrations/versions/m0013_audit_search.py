"""The audit trail is searched by who and by when."""

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Nothing changes but how it is found."""
    op.create_index("audit_by_actor", "audit_events", ["actor", "seq"])
    op.create_index("audit_by_time", "audit_events", ["at"])
