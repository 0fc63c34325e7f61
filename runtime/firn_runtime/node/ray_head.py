"""A single-node Ray head of the agent's own: its process is the driver."""

# Ray reads its switches when it is imported.
from firn_runtime.node.ray_node import LeanNode, lean  # isort: skip

import logging
import os
from pathlib import Path

import ray
from ray._private.parameter import RayParams

from firn_runtime.errors import RayHeadError


class RayHead:
    """The node's Ray head: started once, stopped once, before the node joins another's."""

    def __init__(self, folder: Path, address: str | None, cpus: int, object_store_bytes: int) -> None:
        """Start the head and connect this process to it. Raises RayHeadError."""
        folder.mkdir(parents=True, exist_ok=True)
        params = RayParams(
            num_cpus=cpus,
            object_store_memory=object_store_bytes,
            no_monitor=True,
            gcs_server_port=0,
            node_ip_address=address or ray.util.get_node_ip_address(),  # type: ignore[no-untyped-call]
            temp_dir=str(folder),
        )
        try:
            self._node = LeanNode(lean(params), head=True, shutdown_at_exit=False, spawn_reaper=False)
        except (OSError, RuntimeError) as error:
            raise RayHeadError(f"Ray's head did not start: {error}") from error
        self.address: str = self._node.gcs_address
        self.token = os.environ["RAY_AUTH_TOKEN"]
        ray.init(address=self.address, log_to_driver=False, logging_level=logging.ERROR, namespace="firn")

    def stop(self) -> None:
        """Leave the head and kill it; what ran on it ends by itself."""
        ray.shutdown()
        self._node.kill_all_processes(check_alive=False, allow_graceful=False)
