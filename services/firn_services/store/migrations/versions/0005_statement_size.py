"""The size of the cluster that a statement ran on."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Go to this revision."""
    op.add_column("statements", sa.Column("warehouse_size", sa.String(8)))
