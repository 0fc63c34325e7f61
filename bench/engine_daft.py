"""Daft on Ray for `make bench-engine`: `engine_daft.py TABLES-FOLDER NODES CORES`, run by a Python that has Daft.

Statements come as lines of JSON, {"sql": ..., "into": a file}; each is answered by such a line with the
seconds that it took, its rows being in the file as an Arrow stream, or with why it could not. It imports nothing of
Firn, so that Daft's dependencies stay out of the lock file.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import daft  # type: ignore[import-not-found]
import pyarrow as pa
import ray
from ray.cluster_utils import Cluster

_RAY_BYTES = 1 << 30


def main() -> None:
    """Serve until the input ends."""
    folder, nodes, cores = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    replies, sys.stdout = sys.stdout, sys.stderr
    cluster = Cluster(initialize_head=False)
    for _ in range(nodes):
        cluster.add_node(num_cpus=cores, object_store_memory=_RAY_BYTES, include_dashboard=False)
    daft.set_runner_ray(address=cluster.address)
    tables = {path.name: daft.read_parquet(f"{path}/*.parquet") for path in folder.iterdir()}
    for line in sys.stdin:
        print(json.dumps(_answer(tables, json.loads(line))), file=replies, flush=True)
    ray.shutdown()
    cluster.shutdown()  # type: ignore[no-untyped-call]


def _answer(tables: dict[str, daft.DataFrame], asked: dict[str, str]) -> dict[str, Any]:
    began = time.perf_counter()
    try:
        rows = daft.sql(asked["sql"], register_globals=False, **tables).to_arrow()
    except Exception as error:  # noqa: BLE001  whatever it is, Daft cannot run this statement
        return {"error": (str(error).splitlines() or [type(error).__name__])[-1][:200]}
    seconds = time.perf_counter() - began
    with pa.OSFile(asked["into"], "wb") as file, pa.ipc.new_stream(file, rows.schema) as stream:
        stream.write_table(rows)
    return {"seconds": seconds}


if __name__ == "__main__":
    main()
