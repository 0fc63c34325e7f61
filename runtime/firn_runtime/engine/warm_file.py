"""The file that the warm-up statements read. The engine writes it: the agent does without Arrow and its import."""

import base64
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from firn_model.messages import DataFile, TableSnapshot

_ROWS = 2000


def write(path: Path) -> TableSnapshot:
    """Write the small file and return it as a table."""
    ids = list(range(_ROWS))
    table = pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "flag": pa.array([f"f{i % 3}" for i in ids]),
            "name": pa.array([f"n{i}" for i in ids]),
            "price": pa.array([Decimal(i) for i in ids], pa.decimal128(15, 2)),
            "discount": pa.array([Decimal(0)] * _ROWS, pa.decimal128(15, 2)),
            "shipped": pa.array([8000 + i for i in ids], pa.int32()).cast(pa.date32()),
        }
    )
    pq.write_table(table, path)
    return TableSnapshot(
        name="warm",
        schema_ipc_base64=base64.b64encode(table.schema.serialize().to_pybytes()).decode(),
        files=(DataFile(uri=f"s3://warm/files/{path.name}", size_bytes=path.stat().st_size, rows=_ROWS),),
    )
