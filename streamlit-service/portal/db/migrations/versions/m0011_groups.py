"""People are in several groups, of which some lead; each deployment counts for one."""

import sqlalchemy as sa
from alembic import op

from portal.db.schema import UtcDateTime

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Everybody is in the group that they were in, and so is what they have."""
    memberships = op.create_table(
        "memberships",
        sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id"), primary_key=True),
        sa.Column("group", sa.Text, primary_key=True),
        sa.Column("leads", sa.Boolean, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
    )
    op.create_index("ix_memberships_group", "memberships", ["group"])
    op.create_table(
        "directory_looks",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("succeeded_at", UtcDateTime),
        sa.Column("problem", sa.Text, nullable=False),
        sa.Column("people", sa.Integer, nullable=False),
        sa.Column("missing", sa.Integer, nullable=False),
        sa.Column("ambiguous", sa.Integer, nullable=False),
    )
    with op.batch_alter_table("users") as people:
        people.add_column(
            sa.Column("in_directory", sa.Boolean, nullable=False, server_default=sa.false())
        )
    with op.batch_alter_table("deployments") as deployments:
        deployments.add_column(sa.Column("group", sa.Text, nullable=False, server_default=""))
        kept = sa.text("state != 'removed'")
        deployments.create_index(
            "deployments_by_group", ["group"], sqlite_where=kept, postgresql_where=kept
        )
    users = sa.table(
        "users",
        sa.column("id", sa.Integer),
        sa.column("group", sa.Text),
        sa.column("merged_into", sa.Integer),
    )
    members = sa.select(users.c.id, users.c.group, sa.false(), sa.literal("portal")).where(
        users.c.group > "", users.c.merged_into.is_(None)
    )
    op.execute(memberships.insert().from_select(["user_id", "group", "leads", "source"], members))
    owned = sa.table("deployments", sa.column("owner_id", sa.Integer), sa.column("group", sa.Text))
    of_owner = sa.select(users.c.group).where(users.c.id == owned.c.owner_id)
    op.execute(owned.update().values(group=of_owner.scalar_subquery()))
