"""The table of resources."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None


def upgrade() -> None:
    op.create_table(
        "resources",
        sa.Column("type", sa.Text, primary_key=True),
        sa.Column("mesh", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("spec", sa.JSON, nullable=False),
        sa.Column("creation_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("modification_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("owner_type", sa.Text),
        sa.Column("owner_mesh", sa.Text),
        sa.Column("owner_name", sa.Text),
    )


def downgrade() -> None:
    op.drop_table("resources")
