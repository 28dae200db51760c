"""Ports are given with the first container; people retire, have several cards, and are merged."""

import sqlalchemy as sa
from alembic import op

from portal.db.schema import UtcDateTime

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the columns and the tables; ranges of people who never deployed are free again."""
    with op.batch_alter_table("users") as users:
        users.alter_column("range_index", existing_type=sa.Integer, nullable=True)
        users.add_column(sa.Column("card_name", sa.Text, nullable=False, server_default=""))
        users.add_column(sa.Column("retired_at", UtcDateTime))
        for name in ("retired_reason", "root"):
            users.add_column(sa.Column(name, sa.Text, nullable=False, server_default=""))
    op.create_table(
        "aliases",
        sa.Column("subject", sa.Text, primary_key=True),
        sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id"), nullable=False),
    )
    op.create_table(
        "certificates",
        sa.Column("fingerprint", sa.Text, primary_key=True),
        sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id"), nullable=False, index=True),
        sa.Column("ssh_key", sa.Text, nullable=False),
        sa.Column("pem", sa.Text, nullable=False),
        sa.Column("not_after", UtcDateTime),
        sa.Column("first_seen_at", UtcDateTime, nullable=False),
    )
    op.execute("UPDATE users SET card_name = display_name")
    op.execute(
        "UPDATE users SET range_index = NULL"
        " WHERE NOT EXISTS (SELECT 1 FROM deployments WHERE owner_id = users.id)"
    )
    # Until its card signs in again, a key counts as before, with no end known.
    op.execute(
        "INSERT INTO certificates (fingerprint, user_id, ssh_key, pem, first_seen_at)"
        " SELECT 'before ' || id, id, certificate_key, '', created_at FROM users"
        " WHERE certificate_key <> ''"
    )
    with op.batch_alter_table("users") as users:
        users.drop_column("certificate_key")
