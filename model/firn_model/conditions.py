"""Conditions: what is true of a resource, in words."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from firn_model.base import Resource, keyed_by


class ConditionStatus(StrEnum):
    """The three values that Kubernetes gives a condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Resource):
    """One condition, as metav1.Condition."""

    type: str = Field(min_length=1, max_length=316, description="What the condition is about, in CamelCase.")
    status: ConditionStatus = Field(description="Whether it holds.")
    reason: str = Field(min_length=1, max_length=1024, description="Why, as one CamelCase word for programs.")
    message: str = Field(max_length=32768, description="Why, and what to do, in words for people.")
    last_transition_time: datetime = Field(description="When the status last changed.")
    observed_generation: int = Field(default=0, ge=0, description="metadata.generation that this was written for.")


Conditions = Annotated[
    tuple[Condition, ...], Field(description="What is true of it, in words.", json_schema_extra=keyed_by("type"))
]
"""Conditions of a resource, one of a type."""


def set_condition(conditions: tuple[Condition, ...], new: Condition) -> tuple[Condition, ...]:
    """Return the conditions with `new` in its type's place; the transition time moves only when the status changes."""
    for old in conditions:
        if old.type == new.type and old.status == new.status:
            new = new.model_copy(update={"last_transition_time": old.last_transition_time})
    kept = tuple(c for c in conditions if c.type != new.type)
    return tuple(sorted((*kept, new), key=lambda c: c.type))
