"""Service accounts: what they may do, and until when."""

import sqlalchemy as sa
from alembic import op

from portal.db.schema import UtcDateTime

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add the columns: nobody is a program yet."""
    with op.batch_alter_table("users") as users:
        users.add_column(sa.Column("scopes", sa.Text, nullable=False, server_default=""))
        users.add_column(sa.Column("ends_at", UtcDateTime))
