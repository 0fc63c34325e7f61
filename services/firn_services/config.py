"""The services' configuration, from the environment (prefix FIRN_)."""

import socket
from datetime import timedelta
from pathlib import Path

from firn_model.messages import ObjectStoreAccess
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What differs between installations."""

    model_config = SettingsConfigDict(env_prefix="FIRN_", frozen=True, hide_input_in_errors=True)

    namespace: str = "default"
    identity: str = Field(
        default_factory=socket.gethostname, description="Pod name; begins the name that the Lease's holder has."
    )
    signing_key_file: Path = Path("/etc/firn/signing/private-key.pem")
    database_url: SecretStr = Field(
        default=SecretStr("sqlite:////var/lib/firn/firn.db"),
        description="The store: sqlite:///FILE, or postgresql://USER:PASSWORD@HOST:PORT/DATABASE.",
    )

    host: str = "0.0.0.0"  # noqa: S104  a pod listens on its pod IP
    port: int = 8080
    log_level: str = "INFO"

    object_store_endpoint: str
    object_store_region: str = "us-east-1"
    object_store_bucket: str = "firn"
    object_store_access_key_id: SecretStr
    object_store_secret_access_key: SecretStr

    node_object_store_endpoint: str | None = None
    node_object_store_access_key_id: SecretStr | None = None
    node_object_store_secret_access_key: SecretStr | None = None

    admin_user: str = "admin"
    admin_password: SecretStr
    token_hours: int = 12

    default_database: str = "FIRN"
    default_schema: str = "PUBLIC"

    node_cpu: int = Field(default=1, ge=1, description="Whole cores of a node, as the pool shapes it.")
    node_memory_bytes: int = Field(default=2 << 30, ge=1 << 20, description="Memory of a node, as the pool shapes it.")
    node_overhead_bytes: int = Field(
        default=896 << 20,
        ge=0,
        description="What of it no statement gets: agent, Ray and idle engine 640 MiB, shared memory 256 MiB.",
    )
    high_memory_factor: int = Field(default=16, ge=1, description="Memory of a SnowparkOptimized node over another's.")

    burst_most_nodes: int = Field(default=64, ge=1, description="Most burst nodes that one statement asks for.")
    burst_min_scan_bytes: int = Field(default=4 << 30, ge=0, description="Unless the warehouse says something else.")
    burst_min_scan_seconds: float = Field(default=10, ge=0, description="Unless the warehouse says something else.")
    burst_wish_seconds: float = Field(default=10, gt=0, description="A head's wish ends then unless it repeats it.")

    otlp_endpoint: str | None = Field(
        default=None, description="Base URL of an OTLP receiver over HTTP that is told of statements; None: traces off."
    )

    lease_seconds: int = Field(default=15, ge=3)
    max_attempts: int = Field(default=5, ge=1, description="Runs of a statement before it fails with node_lost.")
    result_hours: int = Field(default=24, ge=1)
    snapshot_hours: int = Field(default=24, ge=0, description="How long snapshots are kept for statements that run.")

    @property
    def node_access(self) -> ObjectStoreAccess:
        """How nodes read the object store: their own credentials where set, else the services'."""
        key = self.node_object_store_access_key_id or self.object_store_access_key_id
        secret = self.node_object_store_secret_access_key or self.object_store_secret_access_key
        return ObjectStoreAccess(
            endpoint=self.node_object_store_endpoint or self.object_store_endpoint,
            region=self.object_store_region,
            access_key_id=key.get_secret_value(),
            secret_access_key=secret.get_secret_value(),
        )

    @property
    def node_statement_bytes(self) -> int:
        """Memory of a node that statements get; an eighth of it at least, however small the node."""
        return max(self.node_memory_bytes - self.node_overhead_bytes, self.node_memory_bytes // 8)

    @property
    def keep_snapshots(self) -> timedelta:
        """How long a snapshot and a file without one are kept."""
        return timedelta(hours=self.snapshot_hours)

    @property
    def token_lifetime(self) -> timedelta:
        """How long a login lasts."""
        return timedelta(hours=self.token_hours)
