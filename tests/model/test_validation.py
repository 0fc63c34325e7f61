"""The API server refuses a bad manifest with a sentence that names field and bound; a good one gets its defaults."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from firn_model import names
from firn_model.clusters import ClusterSpec
from firn_model.kinds import KINDS, RESOURCE_MONITOR, VIRTUAL_WAREHOUSE, WAREHOUSE_CLUSTER, WAREHOUSE_POOL, Kind
from firn_model.monitors import MonitorSpec
from firn_model.pools import PoolSpec
from firn_model.sizes import MAX_CLUSTERS, WarehouseSize
from firn_model.warehouses import WarehouseSpec, WarehouseStatus

from tests.model.conftest import Refused, Server

pytestmark = pytest.mark.component

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
MANIFESTS = sorted(file for file in EXAMPLES.rglob("*.yaml") if file.name != "simulation.yaml")  # a workload's file
VW, WC, WP, RM = VIRTUAL_WAREHOUSE, WAREHOUSE_CLUSTER, WAREHOUSE_POOL, RESOURCE_MONITOR
SNOWPARK = {"type": "SnowparkOptimized", "size": "M"}
LOAD = {"running": 0, "queued": 1, "observedAt": "2026-01-01T00:00:00.123456Z", "reporter": "services-1"}


def trigger(action: str, percent: int = 50) -> dict[str, Any]:
    return {"percent": percent, "action": action}


def pool(**spec: Any) -> dict[str, Any]:
    return {"image": "firn/node:dev", **spec}


@pytest.mark.parametrize(
    ("kind", "spec", "sentence"),
    [
        # sizes and counts of warehouses
        (VW, {"size": "XXL"}, 'spec.size: Unsupported value: \\"XXL\\": supported values: \\"XS\\", \\"S\\"'),
        (VW, {"type": "Snowpark"}, 'spec.type: Unsupported value: \\"Snowpark\\": supported values: \\"Standard\\"'),
        (
            VW,
            {"minClusterCount": 3, "maxClusterCount": 2},
            "spec.minClusterCount must be at most spec.maxClusterCount",
        ),
        (VW, {"minClusterCount": 0}, "spec.minClusterCount in body should be greater than or equal to 1"),
        (VW, {"maxClusterCount": 301}, "spec.maxClusterCount in body should be less than or equal to 300"),
        (VW, {"size": "L", "maxClusterCount": 161}, "spec.maxClusterCount must be at most 160 for size L"),
        (VW, {"size": "XL", "maxClusterCount": 81}, "spec.maxClusterCount must be at most 80 for size XL"),
        (VW, {"size": "2XL", "maxClusterCount": 41}, "spec.maxClusterCount must be at most 40 for size 2XL"),
        (VW, {"size": "3XL", "maxClusterCount": 21}, "spec.maxClusterCount must be at most 20 for size 3XL"),
        (VW, {"size": "5XL", "maxClusterCount": 11}, "spec.maxClusterCount must be at most 10 for size 4XL, 5XL, 6XL"),
        (
            VW,
            {"type": "SnowparkOptimized"},
            "spec.size must be M or larger when spec.type is SnowparkOptimized",
        ),
        (
            VW,
            {**SNOWPARK, "queryAcceleration": {"enabled": True}},
            "spec.queryAcceleration.enabled must be false when spec.type is SnowparkOptimized",
        ),
        # times and texts of warehouses
        (VW, {"autoSuspendSeconds": -1}, "spec.autoSuspendSeconds in body should be greater than or equal to 0"),
        (VW, {"autoSuspendSeconds": "10m"}, "spec.autoSuspendSeconds in body must be of type integer"),
        (VW, {"maxConcurrencyLevel": 0}, "spec.maxConcurrencyLevel in body should be greater than or equal to 1"),
        (VW, {"statementTimeoutSeconds": 604801}, "should be less than or equal to 604800"),
        (VW, {"queryAcceleration": {"maxScaleFactor": 101}}, "spec.queryAcceleration.maxScaleFactor in body should be"),
        (VW, {"name": ""}, "spec.name in body should be at least 1 chars long"),
        (VW, {"pool": "p" * 41}, "spec.pool: Too long: may not be more than 40"),
        (VW, {"autosuspend": 60}, 'unknown field \\"spec.autosuspend\\"'),
        # pools
        (WP, {}, "spec.image: Required value"),
        (WP, None, "spec: Required value"),
        (WP, pool(image=""), "spec.image in body should be at least 1 chars long"),
        (WP, pool(imagePullPolicy="Sometimes"), 'supported values: \\"Always\\", \\"IfNotPresent\\", \\"Never\\"'),
        (WP, pool(warm={"min": 3, "max": 1}), "spec.warm.min must be at most spec.warm.max"),
        (WP, pool(warm={"min": 11}), "spec.warm.min must be at most spec.warm.max"),
        (WP, pool(warm={"min": -1}), "spec.warm.min in body should be greater than or equal to 0"),
        (WP, pool(node={"cpu": "many"}), "spec.node.cpu in body should match"),
        (WP, pool(node={"memory": "2GB"}), "spec.node.memory in body should match"),
        (WP, pool(node={"cpu": "0", "cpuRequest": "0"}), "spec.node.cpu must be greater than 0"),
        (WP, pool(node={"cpuRequest": "1500m"}), "spec.node.cpuRequest must be at most spec.node.cpu"),
        (WP, pool(node={"memory": "256Mi"}), "spec.node.memoryRequest must be at most spec.node.memory"),
        (WP, pool(node={"sharedMemory": "4Gi"}), "spec.node.sharedMemory must be at most spec.node.memory"),
        (WP, pool(refill={"maxBooting": 0}), "spec.refill.maxBooting in body should be greater than or equal to 1"),
        (WP, pool(burstShare=101), "spec.burstShare in body should be less than or equal to 100"),
        # clusters
        (WC, {"index": 1}, "spec.warehouse: Required value"),
        (WC, {"warehouse": "demo", "index": 0}, "spec.index in body should be greater than or equal to 1"),
        # monitors
        (RM, {}, "spec.creditQuota: Required value"),
        (RM, {"creditQuota": 0}, "spec.creditQuota in body should be greater than or equal to 1"),
        (
            RM,
            {"creditQuota": 9, "triggers": [trigger("stop")]},
            'spec.triggers[0].action: Unsupported value: \\"stop\\"',
        ),
        (
            RM,
            {"creditQuota": 9, "triggers": [trigger("suspend"), trigger("suspend", 90)]},
            "spec.triggers may hold one suspend at most",
        ),
        (
            RM,
            {"creditQuota": 9, "triggers": [trigger("notify", percent) for percent in range(1, 7)]},
            "spec.triggers may hold five notify at most",
        ),
        (RM, {"creditQuota": 9, "triggers": [trigger("notify", p) for p in range(1, 9)]}, "must have at most 7 items"),
    ],
)
def test_a_bad_manifest_is_refused_in_words(
    server: Server, kind: Kind, spec: dict[str, Any] | None, sentence: str
) -> None:
    with pytest.raises(Refused) as refused:
        server.create(kind, "bad", spec)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("kind", "spec", "longest"),
    [(VW, {}, 56), (WP, pool(), 40), (WC, {"warehouse": "demo", "index": 1}, 63)],
    ids=lambda value: value.short if isinstance(value, Kind) else "",
)
def test_a_name_leaves_room_for_what_is_made_of_it(
    server: Server, kind: Kind, spec: dict[str, Any], longest: int
) -> None:
    server.create(kind, "n" * longest, spec)
    with pytest.raises(Refused, match=f"metadata.name must be at most {longest} characters"):
        server.create(kind, "n" * (longest + 1), spec)


@pytest.mark.parametrize("size", WarehouseSize)
def test_the_largest_cluster_count_of_each_size_is_accepted(server: Server, size: WarehouseSize) -> None:
    made = server.create(VW, "big", {"size": size.value, "maxClusterCount": MAX_CLUSTERS[size]})
    assert WarehouseSpec.model_validate(made["spec"]).max_cluster_count == MAX_CLUSTERS[size]


def test_the_api_server_gives_the_defaults_of_the_models(server: Server) -> None:
    assert WarehouseSpec.model_validate(server.create(VW, "demo", None)["spec"]) == WarehouseSpec()
    assert server.create(VW, "demo-2", {})["spec"] == WarehouseSpec().manifest()
    assert PoolSpec.model_validate(server.create(WP, "demo", {"image": "x"})["spec"]) == PoolSpec(image="x")
    made = server.create(WC, "demo-1", {"warehouse": "demo", "index": 1})
    assert made["spec"] == ClusterSpec(warehouse="demo", index=1).manifest()
    assert server.create(RM, "m", {"creditQuota": 5})["spec"] == MonitorSpec(credit_quota=5).manifest()


def test_defaults_fill_what_a_nested_object_leaves_out(server: Server) -> None:
    made = server.create(WP, "demo", pool(node={"cpu": "2"}, warm={"max": 3}))
    expected = PoolSpec.model_validate(pool(node={"cpu": "2"}, warm={"max": 3}))
    assert PoolSpec.model_validate(made["spec"]) == expected
    assert made["spec"]["node"]["memory"] == expected.node.memory == "2Gi"


def test_a_snowpark_optimized_warehouse_of_size_m_is_accepted(server: Server) -> None:
    made = server.create(VW, "snow", {**SNOWPARK, "queryAcceleration": {"maxScaleFactor": 0}})
    accelerated = made["spec"]["queryAcceleration"]
    assert (accelerated["enabled"], accelerated["maxScaleFactor"]) == (False, 0)


@pytest.mark.parametrize(
    ("kind", "spec", "change", "sentence"),
    [
        (WC, {"warehouse": "demo", "index": 1}, {"warehouse": "other"}, "spec.warehouse is immutable"),
        (WC, {"warehouse": "demo", "index": 1}, {"index": 2}, "spec.index is immutable"),
        (WC, {"warehouse": "demo", "index": 1}, {"type": "SnowparkOptimized"}, "spec.type is immutable"),
        (WC, {"warehouse": "demo", "index": 1}, {"pool": "other"}, "spec.pool is immutable"),
        (WC, {"warehouse": "demo", "index": 1, "drain": True}, {"drain": False}, "spec.drain cannot be taken back"),
        (WP, pool(), {"node": {"memoryClass": "High"}}, "spec.node.memoryClass is immutable"),
        (VW, {"maxClusterCount": 200}, {"size": "XL"}, "spec.maxClusterCount must be at most 80 for size XL"),
    ],
)
def test_a_change_that_cannot_be_is_refused_in_words(
    server: Server, kind: Kind, spec: dict[str, Any], change: dict[str, Any], sentence: str
) -> None:
    server.create(kind, "demo", spec)
    with pytest.raises(Refused) as refused:
        server.patch(kind, "demo", change)
    assert sentence in str(refused.value)


def test_a_warehouse_may_change_while_it_exists(server: Server) -> None:
    server.create(VW, "demo", {})
    made = server.patch(VW, "demo", {"size": "L", "pool": "other", "name": "My Warehouse", **SNOWPARK})
    assert WarehouseSpec.model_validate(made["spec"]).name == "My Warehouse"
    server.create(WC, "demo-1", {"warehouse": "demo", "index": 1})
    assert server.patch(WC, "demo-1", {"drain": True})["spec"]["drain"] is True


def test_operator_and_services_share_a_status_without_a_conflict(server: Server) -> None:
    server.create(VW, "demo", {})
    server.apply_status(VW, "demo", {"load": LOAD}, names.FIELD_MANAGER_SERVICES)
    running = {"phase": "Running", "clusters": [{"name": "demo-1", "index": 1, "phase": "Running"}]}
    server.patch_status(VW, "demo", running)
    made = server.apply_status(VW, "demo", {"load": {**LOAD, "queued": 0}}, names.FIELD_MANAGER_SERVICES)
    status = WarehouseStatus.model_validate(made["status"])
    assert (status.phase, status.clusters[0].name) == ("Running", "demo-1")
    assert status.load is not None
    assert (status.load.queued, status.load.reporter) == (0, "services-1")
    assert status.load.observed_at.microsecond == 123456


def test_two_conditions_of_one_type_are_refused(server: Server) -> None:
    server.create(VW, "demo", {})
    ready = {"type": "Ready", "status": "True", "reason": "R", "message": "", "lastTransitionTime": LOAD["observedAt"]}
    with pytest.raises(Refused, match="Duplicate value"):
        server.patch_status(VW, "demo", {"conditions": [ready, ready]})


@pytest.mark.parametrize("file", MANIFESTS, ids=lambda file: file.name)
def test_the_examples_are_accepted(server: Server, file: Path) -> None:
    kinds = {kind.name: kind for kind in KINDS}
    for manifest in yaml.safe_load_all(file.read_text()):
        kind, name = kinds[manifest["kind"]], manifest["metadata"]["name"]
        made = server.create(kind, name, manifest["spec"])
        assert kind.spec.model_validate(made["spec"]) == kind.spec.model_validate(manifest["spec"])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.short)
def test_what_the_models_write_by_themselves_is_accepted(server: Server, kind: Kind) -> None:
    spec = {WP: pool(), WC: {"warehouse": "demo", "index": 1}, RM: {"creditQuota": 1}}.get(kind, {})
    server.create(kind, "demo", spec)
    made = server.patch_status(kind, "demo", kind.status().manifest())
    assert kind.status.model_validate(made["status"]) == kind.status()
