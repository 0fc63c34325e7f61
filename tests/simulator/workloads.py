"""Small workloads for tests."""

from typing import Any

from firn_simulator.workload import Workload

POOL = {"name": "default", "spec": {"node": {"cpu": "8", "memory": "16Gi"}, "warm": {"min": 8, "max": 40}}}


def workload(
    spec: dict[str, Any], *streams: dict[str, Any], count: int = 1, pool: dict[str, Any] | None = None, **rest: Any
) -> Workload:
    """Return one of warehouses of one spec."""
    content = {
        "pools": [pool or POOL],
        "warehouses": [{"name": "w", "count": count, "spec": spec}],
        "streams": list(streams),
        **rest,
    }
    return Workload.model_validate(content)


def at(seconds: float, cpu_seconds: float, **rest: Any) -> dict[str, Any]:
    """Return a stream of one statement."""
    return {"kind": "list", "statements": [{"at": seconds, "cpuSeconds": cpu_seconds, **rest}]}
