"""What statements need, what warehouses used, their load and their events."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Go to this revision."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "statement_needs",
        sa.Column("fingerprint", sa.String(32), primary_key=True),
        sa.Column("samples", sa.Integer, nullable=False),
        sa.Column("memory_bytes", sa.Float, nullable=False),
        sa.Column("memory_spread", sa.Float, nullable=False),
        sa.Column("cpu_seconds", sa.Float, nullable=False),
        sa.Column("run_seconds", sa.Float, nullable=False),
        sa.Column("scanned_bytes", sa.Float, nullable=False),
        sa.Column("updated_at", moment, nullable=False),
    )
    op.create_index("statement_needs_age", "statement_needs", ["updated_at"])
    op.create_table(
        "meter_intervals",
        sa.Column("cluster_uid", sa.String(64), primary_key=True),
        sa.Column("interval_id", sa.String(63), primary_key=True),
        sa.Column("cluster", sa.String(253), nullable=False),
        sa.Column("warehouse", sa.String(255), nullable=False),
        sa.Column("warehouse_resource", sa.String(253), nullable=False),
        sa.Column("size", sa.String(8), nullable=False),
        sa.Column("type", sa.String(32), nullable=False),
        sa.Column("burst_nodes", sa.Integer, nullable=False),
        sa.Column("started_at", moment, nullable=False),
        sa.Column("ended_at", moment, nullable=False),
    )
    op.create_index("meter_intervals_end", "meter_intervals", ["ended_at"])
    op.create_table(
        "load_history",
        sa.Column("warehouse_resource", sa.String(253), primary_key=True),
        sa.Column("grain_seconds", sa.Integer, primary_key=True),
        sa.Column("started_at", moment, primary_key=True),
        sa.Column("warehouse", sa.String(255), nullable=False),
        sa.Column("running_seconds", sa.Float, nullable=False),
        sa.Column("queued_load_seconds", sa.Float, nullable=False),
        sa.Column("queued_provisioning_seconds", sa.Float, nullable=False),
        sa.Column("blocked_seconds", sa.Float, nullable=False),
    )
    op.create_index("load_history_age", "load_history", ["grain_seconds", "started_at"])
    op.create_table(
        "warehouse_events",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("at", moment, nullable=False),
        sa.Column("warehouse_resource", sa.String(253), nullable=False),
        sa.Column("warehouse", sa.String(255), nullable=False),
        sa.Column("cluster_number", sa.Integer),
        sa.Column("event", sa.String(64), nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("size", sa.String(8), nullable=False),
        sa.Column("cluster_count", sa.Integer, nullable=False),
    )
    op.create_index("warehouse_events_time", "warehouse_events", ["at"])
