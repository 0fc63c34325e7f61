"""What a node is told by its environment. Names and meanings: the node pod's contract in design.md."""

import ipaddress
import os
from functools import cached_property
from pathlib import Path

from firn_model.names import AGENT_PORT
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from firn_runtime.engine import leaf

MEBIBYTE = 1 << 20
OVERHEAD_BYTES = 640 * MEBIBYTE
"""Memory of the agent, Ray's processes and an idle engine, measured; the engine's pool never takes it."""
POOL_SHARE = 0.65
"""Share of the remaining memory that the engine's pool may hold, less what follows; the rest is not accounted for."""
UNCOUNTED_BYTES = 280 * MEBIBYTE
"""Memory that no pool counts, however small the node: what scans decode, batches on their way, the allocator's own."""
MEMORY_CACHE_SHARE = 0.05
"""Share of the remaining memory for the hottest of what is cached on local disk."""
HOT_SHARE = 0.25
"""Share of the remaining memory for hot columns kept decoded, where the node has the leaf for them."""
POOL_SHARE_BESIDE_HOT = 0.45
"""The pool's share where there are hot columns."""
ENGINE_BYTES = 192 * MEBIBYTE
"""What an idle engine takes of the overhead."""
CACHE_SHARE = 0.5
"""Share of the local disk that the cache of persistent files may take."""
EXCHANGE_SHARE = 0.1
"""Share of the remaining memory for what stages exchange; more goes to disk."""
EXCHANGE_DISK_SHARE = 0.4
"""Share of the local disk for what stages exchange."""
SMALLEST_POOL_BYTES = 128 * MEBIBYTE
SMALLEST_EXCHANGE_BYTES = 16 * MEBIBYTE


class NodeSettings(BaseSettings):
    """The environment of a node, prefix FIRN_."""

    model_config = SettingsConfigDict(env_prefix="FIRN_", frozen=True, hide_input_in_errors=True)

    pod_name: str = "node"
    pod_uid: str = Field(min_length=1)
    pod_ip: str | None = Field(default=None, description="Address for Ray; by default the machine's own.")
    public_key: str = Field(min_length=1, description="Base64 of the account's raw Ed25519 public key.")
    agent_host: str = "0.0.0.0"  # noqa: S104  a pod serves its whole network; every message is signed
    agent_port: int = Field(default=AGENT_PORT, ge=0, le=65535)
    cpu: int = Field(default=1, ge=1)
    memory_bytes: int = Field(default=2048 * MEBIBYTE, ge=256 * MEBIBYTE)
    shared_memory_bytes: int = Field(default=128 * MEBIBYTE, ge=80 * MEBIBYTE)
    local_dir: Path = Path("/var/lib/firn")
    local_storage_bytes: int = Field(default=4096 * MEBIBYTE, ge=0, description="What may be on local disk at most.")
    small_bytes: int = Field(default=64 * MEBIBYTE, ge=0, description="Tables of fewer bytes are read on one node.")

    @cached_property
    def pool_bytes(self) -> int:
        """Bytes of the memory pool that all statements of the engine share."""
        share = POOL_SHARE_BESIDE_HOT if self.hot_bytes else POOL_SHARE
        return max(SMALLEST_POOL_BYTES, int(self._free_bytes * share) - UNCOUNTED_BYTES)

    @cached_property
    def hot_bytes(self) -> int:
        """Bytes of memory for decoded columns; none where the node has no leaf for them."""
        return 0 if leaf.missing_because() else max(0, int(self._free_bytes * HOT_SHARE))

    @cached_property
    def engine_bytes(self) -> int:
        """Bytes of memory that the engine's process may take, without what it keeps in files in memory."""
        return ENGINE_BYTES + int(self._free_bytes * (1 - EXCHANGE_SHARE - MEMORY_CACHE_SHARE))

    @cached_property
    def exchange_memory_bytes(self) -> int:
        """Bytes of memory for what stages exchange."""
        return max(SMALLEST_EXCHANGE_BYTES, int(self._free_bytes * EXCHANGE_SHARE))

    @cached_property
    def exchange_disk_bytes(self) -> int:
        """Bytes of local disk for what stages exchange."""
        return int(self.local_storage_bytes * EXCHANGE_DISK_SHARE)

    @property
    def _free_bytes(self) -> int:
        return self.memory_bytes - self.shared_memory_bytes - OVERHEAD_BYTES

    @cached_property
    def object_store_bytes(self) -> int:
        """Bytes of Ray's object store: the shared memory without Ray's own slack of a tenth."""
        return max(76 * MEBIBYTE, int(self.shared_memory_bytes * 0.9))

    @cached_property
    def engine_socket(self) -> Path:
        """Folder of the engine's sockets; short, because a socket's path holds at most 107 bytes."""
        return self.local_dir / "engine"

    @cached_property
    def fork_socket(self) -> Path:
        """The fork server's socket."""
        return self.local_dir / "fork.sock"

    @cached_property
    def exchange_dir(self) -> Path:
        """Folder of what stages exchange; emptied by each engine that starts."""
        return self.local_dir / "exchange"

    @cached_property
    def spill_dir(self) -> Path:
        """Folder of the engine's spill files."""
        return self.local_dir / "spill"

    @cached_property
    def cache_dir(self) -> Path:
        """Folder of the persistent files that are cached."""
        return self.local_dir / "cache"

    @cached_property
    def disk_cache_bytes(self) -> int:
        """Bytes that the cache of persistent files may take on local disk; the rest is for spills and exchanges."""
        return int(self.local_storage_bytes * CACHE_SHARE)

    @cached_property
    def memory_cache_bytes(self) -> int:
        """Bytes that the cache of persistent files may take in memory."""
        return max(0, int(self._free_bytes * MEMORY_CACHE_SHARE))

    @cached_property
    def ray_dir(self) -> Path:
        """Folder of Ray's sessions; under HOME, or a folder of this agent when several share a machine."""
        return Path(os.environ.get("HOME", "/tmp")) / "ray" / self.pod_uid[:8]  # noqa: S108  the pod's own emptyDir

    @cached_property
    def ray_ip(self) -> str | None:
        """Address for Ray, or None for the machine's own: Ray's driver never uses a loopback address."""
        if self.pod_ip is None or ipaddress.ip_address(self.pod_ip).is_loopback:
            return None
        return self.pod_ip
