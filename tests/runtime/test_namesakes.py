"""Joins of tables whose columns have the same names lose no rows to filters that the engine makes while it runs."""

import base64
import io
from random import Random

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from firn_model.messages import DataFile, TableSnapshot
from firn_runtime.engine.namesakes import has_namesakes

from tests.runtime.conftest import Lake, Node

ROWS = {"ta": 20, "tb": 6, "tc": 60}
JOINED = (
    'SELECT "r1"."ty" AS "x" FROM "tc" AS "r0" JOIN "ta" AS "r1" ON "r1"."id" = "r0"."ty"'
    ' JOIN "ta" AS "r2" ON "r2"."id" = "r0"."ty" JOIN "tb" AS "r3" ON "r3"."ty" = "r1"."ty"'
)


def tables() -> dict[str, pa.Table]:
    random = Random(3)  # with these numbers a filter at the wrong table leaves out one row
    made = {}
    for name, rows in ROWS.items():
        ids = sorted(random.randrange(30) for _ in range(rows))
        made[name] = pa.table({"id": ids, "ty": [random.randrange(30) for _ in range(rows)]})
        made[name] = made[name].append_column("v", pa.array([random.randrange(100) for _ in range(rows)]))
    return made


def snapshot(name: str, table: pa.Table, *files: DataFile) -> TableSnapshot:
    encoded = base64.b64encode(table.schema.serialize().to_pybytes()).decode()
    return TableSnapshot(name=name, schema_ipc_base64=encoded, files=files)


@pytest.mark.component
@pytest.mark.asyncio(loop_scope="module")
async def test_all_rows_of_a_join_are_there(node: Node, lake: Lake) -> None:
    snapshots, connection = [], duckdb.connect()
    for name, table in tables().items():
        sink = io.BytesIO()
        pq.write_table(table, sink, row_group_size=2)
        uri = lake.put(f"namesakes/{name}.parquet", sink.getvalue())
        snapshots.append(snapshot(name, table, DataFile(uri=uri, size_bytes=lake.size_bytes(uri), rows=len(table))))
        connection.register(name, table)
    answer = await node.run(JOINED, tuple(snapshots))
    expected = connection.sql(JOINED).fetchall()
    assert sorted(row["x"] for row in answer.rows) == sorted(x for (x,) in expected)


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        (JOINED, True),
        ('SELECT "id" FROM "ta" AS "ta" WHERE "v" > 1', False),
        ('SELECT "r"."id" FROM "ta" AS "r" JOIN "td" AS "s" ON "r"."id" = "s"."key"', False),
        ('SELECT "r"."id" FROM "ta" AS "r" JOIN "td" AS "s" ON "r"."v" = "s"."key" AND "s"."v" > 1', True),
        (
            'SELECT "r"."id" FROM "ta" AS "r" JOIN (SELECT "key" AS "v" FROM "td" AS "td") AS "s" ON "r"."v" = "s"."v"',
            True,
        ),
        ('WITH "w" AS (SELECT "key" FROM "td" AS "td") SELECT 1 FROM "w" AS "a" JOIN "w" AS "b" ON TRUE', True),
    ],
)
def test_namesakes_are_found(sql: str, found: bool) -> None:
    all_tables = tables() | {"td": pa.table({"key": [1], "v": [1]})}
    used = tuple(snapshot(name, table) for name, table in all_tables.items() if f'"{name}" AS' in sql)
    assert has_namesakes(sql, used) == found
