"""Arrow schemas as messages carry them."""

import base64

import pyarrow as pa


def schema_of(ipc_base64: str) -> pa.Schema:
    """Return the schema of a message: base64 of its IPC form."""
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(ipc_base64)))
