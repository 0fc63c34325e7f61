"""What was bound before is bound once; what may have changed is not kept."""

import base64
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datafusion import SessionContext
from firn_model.messages import DataFile, ObjectStoreAccess, TableSnapshot
from firn_runtime.engine.binding import Binder
from firn_runtime.engine.stage import Stage
from firn_runtime.engine.tables import Stores
from firn_runtime.kept import Kept

ACCESS = ObjectStoreAccess(endpoint="http://127.0.0.1:9", access_key_id="a", secret_access_key="b")
SETTINGS = {"datafusion.execution.target_partitions": "2"}
SQL = "SELECT sum(v) AS s FROM t"


def test_the_least_recently_used_is_forgotten_first() -> None:
    kept: Kept[int] = Kept(2)
    for key, value in (("a", 1), ("b", 2), (None, 9)):
        kept.put(key, value)
    assert kept.get("a") == 1
    kept.put("c", 3)
    assert (kept.get("a"), kept.get("b"), kept.get("c"), kept.get(None)) == (1, None, 3, None)


@pytest.fixture
def session() -> SessionContext:
    return SessionContext()


def stage(folder: Path, name: str, sql: str = SQL) -> tuple[Stage, dict[str, Path]]:
    """Return a statement over one file, which a cache would have under a name of its version's own."""
    path = folder / f"{name}.parquet"
    rows = pa.table({"v": [1, 2]})
    pq.write_table(rows, path)
    uri = "s3://lake/t/one.parquet"
    schema = base64.b64encode(rows.schema.serialize().to_pybytes()).decode()
    file = DataFile(uri=uri, size_bytes=path.stat().st_size, rows=2)
    table = TableSnapshot(name="t", schema_ipc_base64=schema, files=(file,))
    return Stage(statement_id="s", sql=sql, tables=(table,), object_store=ACCESS), {uri: path}


def test_the_same_text_over_the_same_files_is_bound_once(session: SessionContext, tmp_path: Path) -> None:
    binder, stores = Binder(session), Stores(session)
    asked, paths = stage(tmp_path, "first")
    frame = binder.bind(stores, asked, paths, SETTINGS).frame
    again, _ = stage(tmp_path, "first")
    assert binder.bind(stores, again, paths, SETTINGS).frame is frame
    assert [binder.bind(stores, again, paths, SETTINGS).frame.to_pydict() for _ in range(2)] == [{"s": [3]}] * 2


def test_what_the_plan_depends_on_makes_another(session: SessionContext, tmp_path: Path) -> None:
    binder, stores = Binder(session), Stores(session)
    asked, paths = stage(tmp_path, "first")
    frame = binder.bind(stores, asked, paths, SETTINGS).frame
    _, rewritten = stage(tmp_path, "second")
    assert binder.bind(stores, asked, rewritten, SETTINGS).frame is not frame
    more = {"datafusion.execution.target_partitions": "3"}
    assert binder.bind(stores, asked, paths, more).frame is not frame


def test_a_text_that_tells_the_time_is_bound_each_time(session: SessionContext, tmp_path: Path) -> None:
    binder, stores = Binder(session), Stores(session)
    asked, paths = stage(
        tmp_path, "first", "SELECT count(*) AS n FROM t WHERE CURRENT_TIMESTAMP > TIMESTAMP '2020-01-01'"
    )
    frame = binder.bind(stores, asked, paths, SETTINGS).frame
    assert binder.bind(stores, asked, paths, SETTINGS).frame is not frame
