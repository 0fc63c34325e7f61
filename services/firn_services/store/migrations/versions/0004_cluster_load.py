"""How busy each cluster was; events by warehouse."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Go to this revision."""
    op.create_table(
        "cluster_load_history",
        sa.Column("warehouse_resource", sa.String(253), primary_key=True),
        sa.Column("cluster", sa.String(253), primary_key=True),
        sa.Column("grain_seconds", sa.Integer, primary_key=True),
        sa.Column("started_at", sa.DateTime(timezone=True), primary_key=True),
        sa.Column("cluster_number", sa.Integer, nullable=False),
        sa.Column("up_seconds", sa.Float, nullable=False),
        sa.Column("running_seconds", sa.Float, nullable=False),
        sa.Column("busy_seconds", sa.Float, nullable=False),
    )
    op.create_index("cluster_load_history_age", "cluster_load_history", ["grain_seconds", "started_at"])
    op.create_index("warehouse_events_warehouse", "warehouse_events", ["warehouse_resource", "at"])
