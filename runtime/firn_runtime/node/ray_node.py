"""A node of Ray without the parts that a warehouse node has no use for.

Only the GCS and the raylet run: no dashboard, no autoscaler monitor, no log monitor, and in place of the raylet's two
Python agents (runtime environments, dashboard) two programs that sleep. The raylet insists on having agents and on the
port each reports; those of plain Ray, without runtime environments, are never asked anything. On two busy cores this
takes a head from 9.7 s and 190 MB of agents to 2.6 s and 5 MB. No worker is started before one is asked for: plain Ray
starts one a core, which would idle at 85 MB. The pin of ray is tested by tests/runtime.
"""

import contextlib
import os
import secrets
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ENVIRONMENT = {
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_enable_metrics_collection": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USE_UVLOOP": "0",  # where it is installed; it cannot send a file over a connection
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "5",
    "RAY_raylet_client_connect_timeout_milliseconds": "20",
    "RAY_raylet_client_num_connect_attempts": "500",
}
"""The last two: a raylet connects to its own object store while a thread of it still opens that, in half of all starts
too early. Ray would try again after a second, ten times."""
FORKED = {"RAY_JOB_ID": "01000000", "RAY_RAYLET_PID": str(os.getpid())}
"""What a forked worker of Ray would be told too late. Every head has one driver, which is its first job; a worker ends
with the process of this id, the agent's, and with its raylet, whose socket it holds."""

# Ray reads its switches once, when it is imported; every head has a token of its own.
os.environ.update(ENVIRONMENT | FORKED)
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))

import ray  # noqa: E402
from ray._private import services  # noqa: E402
from ray._private.node import Node  # noqa: E402
from ray._private.parameter import RayParams  # noqa: E402
from ray.util import serialization_addons  # noqa: E402

from firn_runtime.errors import RayHeadError  # noqa: E402

for _name in FORKED:
    del os.environ[_name]


def _no_addons(_: object) -> None:
    """Register nothing, in place of serializers for Starlette, pydantic 1 and slices of Arrow tables.

    We send none of these by Ray, and their imports delayed the first answer of every process by a quarter second.
    """


serialization_addons.apply = _no_addons

LABEL_POD = "firn.dev/pod"
"""Label of a Ray node: the UID of the pod that it is."""
_REGISTRATION_SECONDS = 60.0
_REGISTRATION_STEP_SECONDS = 0.02


_AGENT_PORTS = {
    "dashboard_agent_listen_port": "-1",
    "metrics_agent_port": "-1",
    "metrics_export_port": "-1",
    "runtime_env_agent_port": "1",
}
"""What Ray's own agents report when they serve nothing; the last must be a port, and nothing ever calls it."""


def _stand_in(component: str, session_dir: str, unbuffered: bool = True) -> list[str]:
    """Return a program that ends with the raylet, which holds its standard input; what is appended is not read."""
    return ["/bin/sh", "-c", "exec cat"]


class LeanNode(Node):
    """A Ray node without dashboard, that sees its own registration at once; its workers come from the fork server."""

    def start_api_server(self, *, include_dashboard: bool | None, raise_on_failure: bool) -> None:
        """Start no dashboard."""

    def start_raylet(self, *arguments: Any, **options: Any) -> None:
        """Start the raylet with agents that only wait for its end."""
        for name, port in _AGENT_PORTS.items():
            Path(self._session_dir, f"{name}_{self._node_id}").write_text(port)
        builder = services._build_python_executable_command_memory_profileable
        services._build_python_executable_command_memory_profileable = _stand_in
        try:
            super().start_raylet(*arguments, **options)
        finally:
            services._build_python_executable_command_memory_profileable = builder

    def start_ray_processes(self) -> None:
        """Start the raylet and wait for its registration: Ray's own wait looks again only after 5 s."""
        super().start_ray_processes()  # type: ignore[no-untyped-call]
        client = self.get_gcs_client()  # type: ignore[no-untyped-call]
        deadline = time.monotonic() + _REGISTRATION_SECONDS
        own = ray.NodeID.from_hex(str(self._node_id))
        while own not in client.get_all_node_info(timeout=5):
            if time.monotonic() > deadline:
                raise RayHeadError("Ray's node did not register; see its logs under the session folder")
            time.sleep(_REGISTRATION_STEP_SECONDS)


def lean(params: RayParams) -> RayParams:
    """Return the parameters with what all of a warehouse's nodes have in common."""
    params.update_if_absent(  # type: ignore[no-untyped-call]
        include_dashboard=False,
        include_log_monitor=False,
        plasma_directory="/dev/shm",  # noqa: S108  shared memory is where Ray's objects live
        setup_worker_path=str(Path(__file__).with_name("launch.py")),
    )
    return params


def kill_all(processes: Iterable[int]) -> None:
    """Kill processes, as far as they are still there."""
    for pid in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def descendants(root: int) -> list[int]:
    """Return the processes below `root`: what a killed raylet started would live on for a while."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found = [root]
    for parent in found:
        found.extend(pid for pid, above in parents.items() if above == parent)
    return found[1:]
