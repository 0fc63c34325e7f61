"""Structural schemas: a pydantic model's JSON schema in the form that a CustomResourceDefinition takes.

Kubernetes wants everything in place (no `$ref`), no titles, no `anyOf` with null, and defaults of nested objects
spelled out, so that their own defaults apply and rules can rely on them.
Source: Kubernetes documentation, "Custom Resource Definitions: specifying a structural schema".
"""

from copy import deepcopy
from typing import Any

from firn_model.base import Resource

Schema = dict[str, Any]

_DROPPED = frozenset({"title", "$defs"})
_KEPT = frozenset(
    {
        "type", "format", "description", "default", "enum", "pattern", "minLength", "maxLength", "minimum", "maximum",
        "minItems", "maxItems", "required", "properties", "items", "additionalProperties",
        "x-kubernetes-validations", "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
    }
)  # fmt: skip


class SchemaError(ValueError):
    """A model uses something that a structural schema cannot say. Change the model."""


def structural(model: type[Resource]) -> Schema:
    """Return the structural schema of a model. Raises SchemaError for what Kubernetes could not check."""
    schema = model.model_json_schema(by_alias=True, mode="serialization")
    return _convert(schema, schema.get("$defs", {}), model.__name__)


def _convert(node: Schema, definitions: Schema, where: str) -> Schema:
    """Return one node in structural form; `where` names it in errors."""
    node = _without_null(_in_place(node, definitions), where)
    node = {key: value for key, value in _in_place(node, definitions).items() if key not in _DROPPED}
    unknown = node.keys() - _KEPT
    if unknown:
        raise SchemaError(f"{where}: a structural schema has no {', '.join(sorted(unknown))}")
    if node.get("additionalProperties") is True:
        del node["additionalProperties"]
        node["x-kubernetes-preserve-unknown-fields"] = True
    elif "additionalProperties" in node:
        node["additionalProperties"] = _convert(node["additionalProperties"], definitions, f"{where}.*")
    if "items" in node:
        node["items"] = _convert(node["items"], definitions, f"{where}[]")
    if "properties" in node:
        node["properties"] = {
            name: _property(child, definitions, f"{where}.{name}") for name, child in node["properties"].items()
        }
    return node


def _property(child: Schema, definitions: Schema, where: str) -> Schema:
    """Return a property in structural form, with a default where it is an object of which nothing is required."""
    converted = _convert(child, definitions, where)
    optional = "anyOf" in child
    if converted["type"] == "object" and "properties" in converted and "required" not in converted and not optional:
        converted["default"] = defaults(converted)
    return converted


def defaults(node: Schema) -> Schema:
    """Return an object with every default under it: the API server checks rules on a default before it fills it in."""
    return {name: deepcopy(child["default"]) for name, child in node["properties"].items() if "default" in child}


def _in_place(node: Schema, definitions: Schema) -> Schema:
    """Return the node with its reference replaced by what it refers to; what stands beside a reference wins."""
    if "$ref" not in node:
        return node
    beside = {key: value for key, value in node.items() if key != "$ref"}
    target: Schema = definitions[node["$ref"].removeprefix("#/$defs/")]
    return {**target, **beside}


def _without_null(node: Schema, where: str) -> Schema:
    """Return an optional field as what it is when set: in Kubernetes a field that is not set is absent, not null."""
    if "anyOf" not in node:
        return node
    kinds = [kind for kind in node["anyOf"] if kind.get("type") != "null"]
    if len(kinds) != 1:
        raise SchemaError(f"{where}: a structural schema has no choice of types")
    beside = {key: value for key, value in node.items() if key != "anyOf" and (key, value) != ("default", None)}
    return {**kinds[0], **beside}
