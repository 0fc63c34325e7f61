"""Schemas as catalog and engine share them."""

import pyarrow as pa


def plain(schema: pa.Schema) -> pa.Schema:
    """Return a schema without Iceberg's metadata and with plain strings and bytes."""
    return pa.schema([pa.field(f.name, plain_type(f.type), nullable=f.nullable) for f in schema])


def plain_type(kind: pa.DataType) -> pa.DataType:
    """Return the type that catalog and engine share for strings and bytes in their several layouts."""
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return pa.binary()
    return kind
