"""Several runs of one workload that differ in warehouses' and pools' settings."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from firn_model.base import Resource
from pydantic import ValidationError

from firn_simulator.errors import WorkloadError
from firn_simulator.workload import SimulatedPool, SimulatedWarehouse, Variant, Workload, refuse_what_disagrees

AS_WRITTEN = Variant(name="as written")


def applied(workload: Workload, variant: Variant) -> Workload:
    """Return the workload with a variant's settings. Raises WorkloadError when the result is not possible."""
    try:
        warehouses = tuple(
            SimulatedWarehouse.model_validate(
                {"name": w.name, "count": w.count, "spec": _merged(w.spec, variant.warehouse)}
            )
            for w in workload.warehouses
        )
        pools = tuple(
            SimulatedPool.model_validate(
                {"name": p.name, "machines": p.machines, "spec": _merged(p.spec, variant.pool)}
            )
            for p in workload.pools
        )
        changed = workload.model_copy(update={"warehouses": warehouses, "pools": pools})
        refuse_what_disagrees(changed)
    except ValidationError as error:
        first = error.errors()[0]
        where, reason = ".".join(str(part) for part in first["loc"]), first["msg"].removeprefix("Value error, ")
        raise WorkloadError(f"variant {variant.name}", None, f"{where}: {reason}") from error
    except ValueError as error:
        raise WorkloadError(f"variant {variant.name}", None, str(error)) from error
    return changed


def _merged(spec: Resource, changes: Mapping[str, Any]) -> dict[str, Any]:
    plain = spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return _overlay(plain, changes)


def _overlay(plain: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(plain)
    for key, value in changes.items():
        inner = result.get(key)
        result[key] = _overlay(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return result


def crossed(
    policies: Sequence[str], ranges: Sequence[tuple[int, int]], auto_suspends: Sequence[int], sizes: Sequence[str]
) -> tuple[Variant, ...]:
    """Return one variant for each combination of what the command line names; none when it names nothing."""
    axes: list[list[tuple[str, dict[str, Any]]]] = [
        [(s, {"size": s}) for s in sizes],
        [(p, {"scalingPolicy": p}) for p in policies],
        [(f"{low}-{high}", {"minClusterCount": low, "maxClusterCount": high}) for low, high in ranges],
        [(f"suspend {s} s", {"autoSuspendSeconds": s}) for s in auto_suspends],
    ]
    named = [axis for axis in axes if axis]
    if not named:
        return ()
    found = []
    for choice in itertools.product(*named):
        settings: dict[str, Any] = {}
        for _, part in choice:
            settings |= part
        found.append(Variant(name=" ".join(label for label, _ in choice), warehouse=settings))
    return tuple(found)
