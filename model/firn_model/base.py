"""The two kinds of pydantic models: Kubernetes resources and wire messages."""

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Message(BaseModel):
    """A message on the wire: frozen, snake_case, unknown fields ignored so that newer peers can talk to older ones."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Resource(BaseModel):
    """A part of a Kubernetes resource: camelCase in YAML, snake_case in Python, unknown fields ignored.

    An older operator beside newer CRDs must work, so fields it does not know are skipped.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)

    def manifest(self) -> dict[str, Any]:
        """Return the plain JSON form, without unset optional fields."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def rules(*pairs: tuple[str, str]) -> ConfigDict:
    """Return a model configuration that carries CEL rules, each an (expression, sentence) pair, into the CRD."""
    validations = [{"rule": rule, "message": message} for rule, message in pairs]
    return ConfigDict(json_schema_extra={"x-kubernetes-validations": validations})
