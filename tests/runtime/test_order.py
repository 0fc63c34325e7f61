"""Rows come in the order that a statement asks for, however many they are."""

import base64
from pathlib import Path

import pyarrow as pa
import pytest
from firn_model.messages import TableSnapshot
from firn_runtime.cache.file_cache import FileCache
from firn_runtime.engine.engine import Engine
from firn_runtime.engine.stage import Stage

ROWS = 50_000


@pytest.mark.parametrize("column", ["name", "upper(name)", "id + 1"])
def test_a_sorted_result_is_one_partition(tmp_path: Path, column: str) -> None:
    """Several would give their batches in any order: nothing may deal them out again above the sort."""
    engine = Engine(2, 1 << 30, tmp_path / "spill", FileCache(tmp_path / "cache", 1 << 30))
    schema = pa.schema([("id", pa.int64()), ("name", pa.string_view())])
    encoded = base64.b64encode(schema.serialize().to_pybytes()).decode()
    numbers = f"SELECT value AS id, CAST(value AS VARCHAR) AS name FROM generate_series(1, {ROWS})"
    stage = Stage(
        statement_id="s",
        sql=f"SELECT {column} FROM (SELECT * FROM t UNION ALL {numbers}) ORDER BY name, id",
        tables=(TableSnapshot(name="t", schema_ipc_base64=encoded),),
    )
    query = engine.start(stage)
    assert query.plan.partition_count == len(query.streams) == 1
