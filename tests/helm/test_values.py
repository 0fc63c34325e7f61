"""The schema of the values refuses typos and what cannot work, and says where."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from firn_model.pools import PoolSpec
from firn_model.schema import structural

from tests.helm.conftest import CHART, Helm

pytestmark = pytest.mark.component

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"servces.replicas": 1}, ["at ''", "'servces' not allowed"]),
        ({"services.replica": 1}, ["/services'", "'replica' not allowed"]),
        ({"services.replicas": 2}, ["/services/replicas", "maximum", "got 2, want 1"]),
        ({"services.replicas": 0}, ["/services/replicas", "minimum"]),
        ({"services.database.kind": "mysql"}, ["/services/database/kind", "sqlite"]),
        ({"services.database.kind": "postgresql"}, ["/services/database/existingSecret", "minLength"]),
        ({"services.service.nodePort": 80}, ["/services/service/nodePort", "want 30,000"]),
        ({"services.service.type": "Nodeport"}, ["/services/service/type", "NodePort"]),
        ({"services.persistence.size": "ten"}, ["/services/persistence/size"]),
        ({"services.queryAcceleration.minScan": "4 GB"}, ["/services/queryAcceleration/minScan"]),
        ({"services.queryAcceleration.mostNodes": 0}, ["/services/queryAcceleration/mostNodes", "minimum"]),
        ({"objectStore.bucket": "My Bucket"}, ["/objectStore/bucket"]),
        ({"objectStore.builtin.enabled": False}, ["/objectStore/endpoint", "/objectStore/existingSecret"]),
        ({"objectStore.endpoint": "s3.example.com"}, ["/objectStore/endpoint"]),
        ({"images.node.pullPolicy": "Sometimes"}, ["/images/node/pullPolicy", "IfNotPresent"]),
        ({"images.node.tag": ""}, ["/images/node/tag"]),
        ({"defaultPool.warm.min": -1}, ["/defaultPool/warm/min", "got -1, want 0"]),
        ({"defaultPool.node.cpus": "2"}, ["/defaultPool/node", "'cpus' not allowed"]),
        ({"defaultPool.node.memory": "2GB"}, ["/defaultPool/node/memory"]),
        ({"admin.existingSecret": "Not A Name"}, ["/admin/existingSecret"]),
        ({"networkPolicy.objectStoreCidr": "everywhere"}, ["/networkPolicy/objectStoreCidr"]),
        ({"traces.endpoint": "collector:4318"}, ["/traces/endpoint"]),
        ({"traces.endpoints": []}, ["/traces'", "'endpoints' not allowed"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_bad_value_is_refused_in_its_place(
    refusal: Callable[..., str], values: dict[str, Any], words: list[str]
) -> None:
    said = refusal(**values)
    for word in words:
        assert word in said


def test_lint_finds_nothing(helm: Helm) -> None:
    for values in ("values.yaml", "values-kind.yaml"):
        done = helm("lint", "--strict", str(CHART), "-f", str(CHART / values))
        assert done.returncode == 0, done.stdout + done.stderr


def pool_fields(schema: dict[str, Any]) -> dict[str, Any]:
    """Return names and bounds of every field, as a nested dict."""
    return {
        name: pool_fields(field)
        or {key: field[key] for key in ("minimum", "maximum", "pattern", "enum") if key in field}
        for name, field in schema.get("properties", {}).items()
    }


def resolved(schema: Any) -> Any:
    """Return a schema with the references to its definitions replaced."""
    if isinstance(schema, list):
        return [resolved(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return resolved(SCHEMA["definitions"][schema["$ref"].removeprefix("#/definitions/")])
    return {key: resolved(value) for key, value in schema.items()}


def test_the_default_pools_values_are_the_fields_of_a_pool() -> None:
    model = pool_fields(structural(PoolSpec))
    chart = pool_fields(resolved(SCHEMA["properties"]["defaultPool"]))
    del model["image"], model["imagePullPolicy"], chart["enabled"]
    assert chart == model


def test_the_default_pools_defaults_are_those_of_the_model() -> None:
    values = {key: value for key, value in VALUES["defaultPool"].items() if key != "enabled"}
    assert PoolSpec.model_validate({"image": "x", **values}) == PoolSpec(image="x")
