"""Compaction and expiry: fewer files, the same rows; what nothing needs is deleted, and only that."""

import pytest
from firn_services.catalog.names import TableName

from tests.writes.conftest import Sql

pytestmark = [pytest.mark.component, pytest.mark.asyncio(loop_scope="session")]


async def test_small_files_become_one(sql: Sql) -> None:
    await sql("CREATE TABLE t CLUSTER BY (a) AS SELECT 9 AS a")
    for n in (5, 7, 1):
        await sql(f"INSERT INTO t VALUES ({n})")
    assert await sql("ALTER TABLE t COMPACT") == [(4, 1)]
    assert await sql("SELECT a FROM t") == [(1,), (5,), (7,), (9,)]
    assert await sql("ALTER TABLE t COMPACT") == [("There is nothing to compact.",)]


async def test_what_no_snapshot_needs_is_deleted(sql: Sql) -> None:
    await sql("CREATE TABLE t AS SELECT 1 AS a")
    first = await sql.account.submit("INSERT INTO t VALUES (2)", schema_name=sql.schema)
    await sql("UPDATE t SET a = a + 1")
    services = sql.account.services
    table = services.catalog.load(TableName("FIRN", sql.schema, "T"))
    orphan = f"{table.root}/data/lost/001-0-000-00000.parquet".removeprefix("s3://")
    with services.objects.files.open_output_stream(orphan) as stream:
        stream.write(b"lost")
    ((expired, deleted),) = await sql("ALTER TABLE t EXPIRE SNAPSHOTS")
    assert expired == 2
    assert deleted >= 3
    assert await sql("SELECT a FROM t ORDER BY a") == [(2,), (3,)]
    left = {uri for uri, _ in services.objects.objects_below(f"{table.root}/data")}
    assert left == {file.uri for file in table.files}
    assert "expired" in await sql(f"SELECT * FROM t AT (STATEMENT => '{first['id']}')", error="unknown_table")
    assert "hours" in await sql("ALTER TABLE t EXPIRE SNAPSHOTS OLDER THAN '2100-01-01'", error="unsupported")
    assert "not supported" in await sql("ALTER TABLE t ADD COLUMN z INT", error="unsupported")
