"""Mentions of a statement's target: which of its files they read, and with which columns of their own.

A statement that changes rows is compiled to queries that mention its target in these roles: `FIND` over all its files
with each row's file and place, `TOUCHED` over just the files that are rewritten, `TOUCHED_ROWS` these with both.
"""

from dataclasses import replace

import pyarrow as pa
from sqlglot import exp

from firn_services.catalog.names import CatalogTable

FILE = "__file"
ROW = "__row"
FIND = "find"
TOUCHED = "touched"
TOUCHED_ROWS = "touched rows"
WITH_ROWS = frozenset({FIND, TOUCHED_ROWS})
_META = "firn_role"


def in_role(node: exp.Table, role: str) -> exp.Table:
    """Return a copy of a mention in a role."""
    made = node.copy()
    made.meta[_META] = role
    return made


def with_role(node: exp.Table, table: CatalogTable) -> CatalogTable:
    """Return the table as this mention of it reads it."""
    role = node.meta.get(_META, "")
    if not role:
        return table
    if role not in WITH_ROWS:
        return replace(table, role=role)
    columns = [*table.schema, pa.field(FILE, pa.int64()), pa.field(ROW, pa.int64())]
    return replace(table, role=role, schema=pa.schema(columns))
