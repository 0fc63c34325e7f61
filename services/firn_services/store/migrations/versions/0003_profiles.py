"""How statements ran."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Go to this revision."""
    op.create_table(
        "statement_profiles",
        sa.Column("statement_id", sa.String(36), primary_key=True),
        sa.Column("profile", sa.Text, nullable=False),
    )
