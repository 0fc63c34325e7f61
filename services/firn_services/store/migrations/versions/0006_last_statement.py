"""The statement that a session had run before this one."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Go to this revision."""
    op.add_column("statements", sa.Column("last_statement_id", sa.String(36)))
