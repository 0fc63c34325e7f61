"""Types of columns: what tables can keep, and how the engine casts to them."""

import pyarrow as pa
from firn_model.statements import StatementError
from sqlglot import exp

from firn_services.errors import StatementFailedError

_TEXTS = {
    pa.bool_(): "Boolean",
    pa.int32(): "Int32",
    pa.int64(): "Int64",
    pa.float32(): "Float32",
    pa.float64(): "Float64",
    pa.string(): "Utf8",
    pa.binary(): "Binary",
    pa.date32(): "Date32",
    pa.time64("us"): "Time64(Microsecond)",
    pa.timestamp("us"): "Timestamp(Microsecond, None)",
    pa.timestamp("us", tz="UTC"): 'Timestamp(Microsecond, Some("UTC"))',
}


def kept(name: str, kind: pa.DataType) -> pa.DataType:
    """Return the type in which a table keeps a result's column. Raises StatementFailedError when there is none."""
    is_number = pa.types.is_integer(kind)
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", tz="UTC" if kind.tz else None)
    if pa.types.is_dictionary(kind):
        return kept(name, kind.value_type)
    if pa.types.is_null(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return pa.binary()
    if is_number or pa.types.is_float16(kind):
        return pa.int64() if is_number else pa.float32()
    if pa.types.is_date64(kind):
        return pa.date32()
    if pa.types.is_time(kind):
        return pa.time64("us")
    if pa.types.is_decimal(kind) and kind.precision <= 38:
        return pa.decimal128(kind.precision, kind.scale)
    if kind in _TEXTS:
        return kind
    raise StatementFailedError(StatementError.TYPE, f"column {name} has type {kind}, which no table keeps; cast it")


def cast(value: exp.Expr, source: pa.DataType | None, kind: pa.DataType) -> exp.Expr:
    """Return a value as a column's type; numbers are rounded, as Snowflake does. `source` None: not known."""
    if source == kind:
        return value
    if source is not None and _is_foreign(source, kind):
        raise StatementFailedError(StatementError.TYPE, f"a column of type {kind} cannot take {source}; cast it")
    if pa.types.is_integer(kind) and source is not None and (pa.types.is_floating(source) or is_scaled(source)):
        value = exp.Anonymous(this="round", expressions=[value])
    text = _TEXTS.get(kind)
    if text is None and pa.types.is_decimal(kind):
        text = f"Decimal128({kind.precision}, {kind.scale})"
    if text is None:  # lists and structs of registered files: as they are
        return value
    return exp.Anonymous(this="arrow_cast", expressions=[value, exp.Literal.string(text)])


def _is_foreign(source: pa.DataType, kind: pa.DataType) -> bool:
    """Return whether one is a time and the other a number: the engine would cast one's bits to the other's."""
    pair = (source, kind)
    return any(pa.types.is_temporal(k) for k in pair) and any(
        pa.types.is_boolean(k) or pa.types.is_decimal(k) or pa.types.is_integer(k) or pa.types.is_floating(k)
        for k in pair
    )


def is_scaled(kind: pa.DataType) -> bool:
    """Return whether it is a number with a fraction."""
    return bool(pa.types.is_decimal(kind) and kind.scale > 0)
