"""Accounts are disabled and enabled; when and from where people were last seen."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from portal.db.schema import UtcDateTime

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the columns: nobody is disabled, and everybody was seen today."""
    with op.batch_alter_table("users") as users:
        for name in ("disabled_at", "last_seen_at", "sessions_ended_at"):
            users.add_column(sa.Column(name, UtcDateTime))
        for name in ("disabled_reason", "disabled_by"):
            users.add_column(sa.Column(name, sa.Text, nullable=False, server_default=""))
        users.create_index("ix_users_role", ["role"])
        users.create_index("ix_users_group", ["group"])
    with op.batch_alter_table("certificates") as certificates:
        certificates.add_column(sa.Column("last_seen_at", UtcDateTime))
        certificates.add_column(
            sa.Column("last_address", sa.Text, nullable=False, server_default="")
        )
    # From now on it counts who comes: nobody is dormant because of the upgrade.
    seen = sa.table("users", sa.column("last_seen_at", UtcDateTime))
    op.execute(seen.update().values(last_seen_at=datetime.now(UTC)))
