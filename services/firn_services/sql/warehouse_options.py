"""The options of CREATE and ALTER WAREHOUSE, and what each says in the resource.

Source: snowflake-surface.md, the row CREATE/ALTER WAREHOUSE.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from firn_model.base import Resource
from firn_model.sizes import SMALLEST_SNOWPARK_OPTIMIZED, WarehouseSize, WarehouseType
from firn_model.statements import StatementError
from firn_model.warehouses import ScalingPolicy, WarehouseSpec
from pydantic import ValidationError
from pydantic.alias_generators import to_camel

from firn_services.errors import StatementFailedError

_SIZES = {
    "XSMALL": "XS", "SMALL": "S", "MEDIUM": "M", "LARGE": "L", "XLARGE": "XL", "XXLARGE": "2XL", "X2LARGE": "2XL",
    "2XLARGE": "2XL", "XXXLARGE": "3XL", "X3LARGE": "3XL", "3XLARGE": "3XL", "X4LARGE": "4XL", "4XLARGE": "4XL",
    "X5LARGE": "5XL", "5XLARGE": "5XL", "X6LARGE": "6XL", "6XLARGE": "6XL",
}  # fmt: skip
_TYPES = {"STANDARD": WarehouseType.STANDARD.value, "SNOWPARK-OPTIMIZED": WarehouseType.SNOWPARK_OPTIMIZED.value}
_POLICIES = {policy.value.upper(): policy.value for policy in ScalingPolicy}
Value = str | None
"""What stands behind the = sign; None is NULL."""


@dataclass(frozen=True, slots=True)
class _Option:
    """Where an option is in the spec, and how its value is read."""

    path: tuple[str, ...]
    read: Callable[[str, Value], object]


def size(text: str) -> str:
    """Return the model's size of any of Snowflake's spellings. Raises StatementFailedError."""
    plain = re.sub(r"[-_]", "", text.upper())
    found = _SIZES.get(plain, plain)
    if found not in {s.value for s in WarehouseSize}:
        sizes = ", ".join(s.value for s in WarehouseSize)
        raise StatementFailedError(StatementError.SYNTAX, f"{text} is not a warehouse size; sizes are {sizes}")
    return found


def with_size(spec: Mapping[str, object]) -> dict[str, object]:
    """Return a new warehouse's spec with the size that its type begins at, where it says none."""
    if spec.get("type") == WarehouseType.SNOWPARK_OPTIMIZED:
        return {"size": SMALLEST_SNOWPARK_OPTIMIZED.value, **spec}
    return dict(spec)


def whole_spec(spec: Mapping[str, object]) -> dict[str, object]:
    """Return a merge patch that leaves nothing of an earlier spec; names are those of the resource."""
    return _whole(WarehouseSpec, spec)


def _whole(kind: type[Resource], given: Mapping[str, object]) -> dict[str, object]:
    made: dict[str, object] = {}
    for name, field in kind.model_fields.items():
        value = given.get(alias := field.alias or to_camel(name))
        inner = field.annotation
        if isinstance(value, Mapping) and isinstance(inner, type) and issubclass(inner, Resource):
            value = _whole(inner, value)
        made[alias] = value
    return made


def is_option(name: str) -> bool:
    """Return whether warehouses have an option of this name."""
    return name.upper() in _OPTIONS


def option(name: str, value: Value, spec: dict[str, object]) -> None:
    """Put one option into a spec. Raises StatementFailedError for a value that cannot be."""
    key = name.upper()
    found = _OPTIONS[key]
    read = found.read(key, value)
    if found.path:
        _put(spec, found.path, read)
        if read is not None:
            _check(key, value, found.path, read)


def unset(name: str, spec: dict[str, object]) -> None:
    """Put an option back to its default. Raises StatementFailedError for one that always has a value."""
    key = name.upper()
    if key in ("WAREHOUSE_SIZE", "INITIALLY_SUSPENDED"):
        raise StatementFailedError(StatementError.UNSUPPORTED, f"{key} cannot be unset")
    _put(spec, _OPTIONS[key].path, None)


def _put(spec: dict[str, object], path: tuple[str, ...], value: object) -> None:
    first, *rest = path
    if not rest:
        spec[first] = value
        return
    inner = spec.get(first)
    inside: dict[str, object] = dict(inner) if isinstance(inner, dict) else {}
    _put(inside, tuple(rest), value)
    spec[first] = inside


def _check(key: str, value: Value, path: tuple[str, ...], read: object) -> None:
    """Hold one value to its field's bounds, without the fields beside it."""
    alone: dict[str, object] = {}
    _put(alone, path, read)
    try:
        WarehouseSpec.model_validate(alone)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].replace("Input should", "must").replace("String should", "must")
        raise StatementFailedError(StatementError.SYNTAX, f"{key} {reason}, not {value}") from error


def _size(key: str, value: Value) -> object:
    return size(_given(key, value))


def _given(key: str, value: Value) -> str:
    if value is None:
        raise StatementFailedError(StatementError.SYNTAX, f"{key} needs a value, not NULL")
    return value


def _integer(key: str, value: Value) -> object:
    if not re.fullmatch(r"\d{1,9}", text := _given(key, value)):
        raise StatementFailedError(StatementError.SYNTAX, f"{key} must be a whole number, not {text}")
    return int(text)


def _seconds_or_never(key: str, value: Value) -> object:
    return 0 if value is None else _integer(key, value)


def boolean(key: str, value: Value) -> bool:
    """Return whether a value is TRUE. Raises StatementFailedError when it is no boolean."""
    if (text := _given(key, value)).upper() not in ("TRUE", "FALSE"):
        raise StatementFailedError(StatementError.SYNTAX, f"{key} must be TRUE or FALSE, not {text}")
    return text.upper() == "TRUE"


def _one_of(choices: Mapping[str, str]) -> Callable[[str, Value], object]:
    def read(key: str, value: Value) -> object:
        found = choices.get((text := _given(key, value)).upper())
        if found is None:
            raise StatementFailedError(StatementError.SYNTAX, f"{key} must be one of {', '.join(choices)}, not {text}")
        return found

    return read


def _text(key: str, value: Value) -> object:
    return _given(key, value)


def _text_or_none(key: str, value: Value) -> object:
    del key
    return value or None


_OPTIONS: dict[str, _Option] = {
    "WAREHOUSE_SIZE": _Option(("size",), _size),
    "WAREHOUSE_TYPE": _Option(("type",), _one_of(_TYPES)),
    "MIN_CLUSTER_COUNT": _Option(("minClusterCount",), _integer),
    "MAX_CLUSTER_COUNT": _Option(("maxClusterCount",), _integer),
    "SCALING_POLICY": _Option(("scalingPolicy",), _one_of(_POLICIES)),
    "AUTO_SUSPEND": _Option(("autoSuspendSeconds",), _seconds_or_never),
    "AUTO_RESUME": _Option(("autoResume",), boolean),
    "INITIALLY_SUSPENDED": _Option((), boolean),  # a new warehouse starts suspended either way
    "MAX_CONCURRENCY_LEVEL": _Option(("maxConcurrencyLevel",), _integer),
    "STATEMENT_TIMEOUT_IN_SECONDS": _Option(("statementTimeoutSeconds",), _integer),
    "STATEMENT_QUEUED_TIMEOUT_IN_SECONDS": _Option(("statementQueuedTimeoutSeconds",), _integer),
    "ENABLE_QUERY_ACCELERATION": _Option(("queryAcceleration", "enabled"), boolean),
    "QUERY_ACCELERATION_MAX_SCALE_FACTOR": _Option(("queryAcceleration", "maxScaleFactor"), _integer),
    "RESOURCE_MONITOR": _Option(("resourceMonitor",), _text_or_none),
    "POOL": _Option(("pool",), _text),
    "COMMENT": _Option(("comment",), _text_or_none),
}
