"""The two kinds of pydantic models: Kubernetes resources and wire messages."""

from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, PlainSerializer, WithJsonSchema
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict, JsonValue


class Message(BaseModel):
    """A message on the wire: frozen, snake_case, unknown fields ignored so that newer peers can talk to older ones."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Resource(BaseModel):
    """A part of a Kubernetes resource: camelCase in YAML, snake_case in Python, unknown fields ignored.

    An older operator beside newer CRDs must work, so fields it does not know are skipped.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)

    def manifest(self, only: set[str] | None = None) -> dict[str, Any]:
        """Return the plain JSON form, without unset optional fields; `only`: of these fields."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, include=only)


def rules(*pairs: tuple[str, str]) -> ConfigDict:
    """Return a model configuration that carries CEL rules, each an (expression, sentence) pair, into the CRD."""
    validations: list[JsonValue] = [{"rule": rule, "message": message} for rule, message in pairs]
    return ConfigDict(json_schema_extra={"x-kubernetes-validations": validations})


def keyed_by(key: str) -> JsonDict:
    """Return what a list's field adds to the CRD so that server-side apply merges its items by `key`."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


Credits = Annotated[
    Decimal,
    PlainSerializer(lambda value: format(value, "f"), return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$", "maxLength": 40}),
]
"""Credits, exact: a decimal string in YAML, never an exponent."""
