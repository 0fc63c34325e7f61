"""The generated files are those of the models, and a structural schema says what a model says."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from firn_model import crds
from firn_model.base import Resource
from firn_model.kinds import KINDS, Kind
from firn_model.schema import SchemaError, structural
from pydantic import Field

ROOT = Path(__file__).resolve().parents[2]
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.short)


def fields(schema: dict[str, Any], path: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Return every field under an object, with its path."""
    found = []
    for name, field in schema.get("properties", {}).items():
        found.append((f"{path}.{name}", field))
        found += fields(field.get("items", field), f"{path}.{name}")
    return found


def test_the_checked_in_files_are_those_of_the_models() -> None:
    assert crds.stale(ROOT) == [], "run `make crds`"


def test_the_check_names_what_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crds.write(tmp_path)
    assert crds.stale(tmp_path) == []
    (tmp_path / "crds/firn.dev_warehousepools.yaml").write_text("kind: Nothing\n")
    (tmp_path / "helm/firn/crds/firn.dev_virtualwarehouses.yaml").unlink()
    (tmp_path / "crds/firn.dev_left.yaml").write_text("")
    assert crds.stale(tmp_path) == [
        "crds/firn.dev_left.yaml",
        "crds/firn.dev_warehousepools.yaml",
        "helm/firn/crds/firn.dev_virtualwarehouses.yaml",
    ]
    assert crds.main(["chek"]) == 2
    assert crds.USAGE in capsys.readouterr().err


def test_the_command_finds_the_checkout() -> None:
    assert crds.main(["check"]) == 0


def test_the_chart_carries_the_same_files() -> None:
    names = {file.name for file in (ROOT / "crds").iterdir()}
    assert names == {file.name for file in (ROOT / "helm/firn/crds").iterdir()}
    for name in names:
        assert (ROOT / "crds" / name).read_bytes() == (ROOT / "helm/firn/crds" / name).read_bytes()


@each_kind
def test_every_field_says_what_it_is(kind: Kind) -> None:
    for part in (kind.spec, kind.status):
        for path, field in fields(structural(part)):
            assert field.get("description"), f"{kind.name}{path} has no description"


@each_kind
def test_the_default_of_a_spec_is_that_of_the_model(kind: Kind) -> None:
    schema = structural(kind.spec)
    if "required" in schema:
        assert crds.definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["required"] == ["spec"]
        return
    written = crds.definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["default"]
    assert kind.spec.model_validate(written) == kind.spec()


@each_kind
def test_the_files_hold_no_anchors(kind: Kind) -> None:
    text = (ROOT / "crds" / f"firn.dev_{kind.plural}.yaml").read_text()
    assert "&id" not in text
    assert yaml.safe_load(text) == crds.definition(kind)


def test_lists_are_merged_by_their_key() -> None:
    status = {kind.short: structural(kind.status)["properties"] for kind in KINDS}
    for properties in status.values():
        assert properties["conditions"]["x-kubernetes-list-map-keys"] == ["type"]
    assert status["vw"]["clusters"]["x-kubernetes-list-map-keys"] == ["name"]
    assert status["wc"]["nodes"]["x-kubernetes-list-map-keys"] == ["name"]


class Inner(Resource):
    """A part."""

    size: int = Field(default=3, ge=1)


class Sample(Resource):
    """A sample."""

    inner: Inner = Field(default_factory=Inner, description="beside a reference")
    since: datetime | None = None
    needed: str


def test_a_model_becomes_a_structural_schema() -> None:
    size = {"type": "integer", "default": 3, "minimum": 1}
    assert structural(Sample) == {
        "type": "object",
        "description": "A sample.",
        "required": ["needed"],
        "properties": {
            "inner": {
                "type": "object",
                "description": "beside a reference",
                "properties": {"size": size},
                "default": {"size": 3},
            },
            "since": {"type": "string", "format": "date-time"},
            "needed": {"type": "string"},
        },
    }
    assert Sample(needed="x", since=datetime(2026, 1, 1, tzinfo=UTC)).manifest()["since"] == "2026-01-01T00:00:00Z"


class Choice(Resource):
    """Two types at once."""

    either: int | str = 1


class Exclusive(Resource):
    """A bound that Kubernetes writes in another way."""

    above: int = Field(default=1, gt=0)


@pytest.mark.parametrize(
    ("model", "sentence"),
    [(Choice, "Choice.either: .* no choice of types"), (Exclusive, "Exclusive.above: .* no exclusiveMinimum")],
)
def test_what_kubernetes_cannot_check_is_refused(model: type[Resource], sentence: str) -> None:
    with pytest.raises(SchemaError, match=sentence):
        structural(model)
