"""The store's tables, in SQL that both SQLite and PostgreSQL speak."""

from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC, also where the database has no time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Store it in UTC."""
        del dialect
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return it aware."""
        del dialect
        return None if value is None else value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData()

statements = Table(
    "statements",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("place", BigInteger, nullable=False),
    Column("request_id", String(64)),
    Column("user_name", String(255), nullable=False),
    Column("sql_text", Text, nullable=False),
    Column("warehouse", String(255)),
    Column("warehouse_resource", String(253)),
    Column("database_name", String(255)),
    Column("schema_name", String(255)),
    Column("statement_timeout_seconds", Integer, nullable=False),
    Column("queued_timeout_seconds", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("cluster", String(253)),
    Column("warehouse_size", String(8)),
    Column("attempts", Integer, nullable=False),
    Column("submitted_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("detail", Text),
    Column("statistics", Text),
    Column("steps", Text, nullable=False),
    Column("last_statement_id", String(36)),
    Index("statements_place", "place", unique=True),
    Index("statements_request", "user_name", "request_id", unique=True),
    Index("statements_state", "state", "place"),
    Index("statements_warehouse", "warehouse", "place"),
)

results = Table(
    "statement_results",
    metadata,
    Column("statement_id", String(36), primary_key=True),
    Column("row_count", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("inline_bytes", LargeBinary),
    Column("object_key", String(1024)),
    Column("expires_at", UtcDateTime, nullable=False),
    Index("statement_results_expiry", "expires_at"),
)

profiles = Table(
    "statement_profiles",
    metadata,
    Column("statement_id", String(36), primary_key=True),
    Column("profile", Text, nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("password_hash", String(255), nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("user_name", String(255), nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
)

needs = Table(
    "statement_needs",
    metadata,
    Column("fingerprint", String(32), primary_key=True),
    Column("samples", Integer, nullable=False),
    Column("memory_bytes", Float, nullable=False),
    Column("memory_spread", Float, nullable=False),
    Column("cpu_seconds", Float, nullable=False),
    Column("run_seconds", Float, nullable=False),
    Column("scanned_bytes", Float, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Index("statement_needs_age", "updated_at"),
)

meter_intervals = Table(
    "meter_intervals",
    metadata,
    Column("cluster_uid", String(64), primary_key=True),
    Column("interval_id", String(63), primary_key=True),
    Column("cluster", String(253), nullable=False),
    Column("warehouse", String(255), nullable=False),
    Column("warehouse_resource", String(253), nullable=False),
    Column("size", String(8), nullable=False),
    Column("type", String(32), nullable=False),
    Column("burst_nodes", Integer, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime, nullable=False),
    Index("meter_intervals_end", "ended_at"),
)

load_history = Table(
    "load_history",
    metadata,
    Column("warehouse_resource", String(253), primary_key=True),
    Column("grain_seconds", Integer, primary_key=True),
    Column("started_at", UtcDateTime, primary_key=True),
    Column("warehouse", String(255), nullable=False),
    Column("running_seconds", Float, nullable=False),
    Column("queued_load_seconds", Float, nullable=False),
    Column("queued_provisioning_seconds", Float, nullable=False),
    Column("blocked_seconds", Float, nullable=False),
    Index("load_history_age", "grain_seconds", "started_at"),
)

cluster_load_history = Table(
    "cluster_load_history",
    metadata,
    Column("warehouse_resource", String(253), primary_key=True),
    Column("cluster", String(253), primary_key=True),
    Column("grain_seconds", Integer, primary_key=True),
    Column("started_at", UtcDateTime, primary_key=True),
    Column("cluster_number", Integer, nullable=False),
    Column("up_seconds", Float, nullable=False),
    Column("running_seconds", Float, nullable=False),
    Column("busy_seconds", Float, nullable=False),
    Index("cluster_load_history_age", "grain_seconds", "started_at"),
)

warehouse_events = Table(
    "warehouse_events",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("warehouse_resource", String(253), nullable=False),
    Column("warehouse", String(255), nullable=False),
    Column("cluster_number", Integer),
    Column("event", String(64), nullable=False),
    Column("reason", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("size", String(8), nullable=False),
    Column("cluster_count", Integer, nullable=False),
    Index("warehouse_events_time", "at"),
    Index("warehouse_events_warehouse", "warehouse_resource", "at"),
)
