"""Statements, results, users and tokens."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Go to this revision."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "statements",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("place", sa.BigInteger, nullable=False),
        sa.Column("request_id", sa.String(64)),
        sa.Column("user_name", sa.String(255), nullable=False),
        sa.Column("sql_text", sa.Text, nullable=False),
        sa.Column("warehouse", sa.String(255)),
        sa.Column("warehouse_resource", sa.String(253)),
        sa.Column("database_name", sa.String(255)),
        sa.Column("schema_name", sa.String(255)),
        sa.Column("statement_timeout_seconds", sa.Integer, nullable=False),
        sa.Column("queued_timeout_seconds", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("cluster", sa.String(253)),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("submitted_at", moment, nullable=False),
        sa.Column("started_at", moment),
        sa.Column("ended_at", moment),
        sa.Column("detail", sa.Text),
        sa.Column("statistics", sa.Text),
        sa.Column("steps", sa.Text, nullable=False),
    )
    op.create_index("statements_place", "statements", ["place"], unique=True)
    op.create_index("statements_request", "statements", ["user_name", "request_id"], unique=True)
    op.create_index("statements_state", "statements", ["state", "place"])
    op.create_index("statements_warehouse", "statements", ["warehouse", "place"])
    op.create_table(
        "statement_results",
        sa.Column("statement_id", sa.String(36), primary_key=True),
        sa.Column("row_count", sa.BigInteger, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("inline_bytes", sa.LargeBinary),
        sa.Column("object_key", sa.String(1024)),
        sa.Column("expires_at", moment, nullable=False),
    )
    op.create_index("statement_results_expiry", "statement_results", ["expires_at"])
    op.create_table(
        "users",
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("password_hash", sa.String(255), nullable=False),
    )
    op.create_table(
        "tokens",
        sa.Column("token_hash", sa.String(64), primary_key=True),
        sa.Column("user_name", sa.String(255), nullable=False),
        sa.Column("expires_at", moment, nullable=False),
    )
