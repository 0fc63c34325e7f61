"""That an engine's reading threads give up what others freed of their memory."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from firn_runtime.engine import allocator
from firn_runtime.engine.sweeper import Sweeper

GIB = 1 << 30
FILES, GROUPS = 8, 12
CHUNK_BYTES = 1 << 19
KEPT_AT_LEAST = FILES * GROUPS * CHUNK_BYTES // 4

READ_AND_SWEEP = """
import sys
from pathlib import Path
from datafusion import SessionConfig, SessionContext
from firn_runtime.engine.sweeper import Sweeper
from firn_runtime.resident import private_bytes

folder, files = Path(sys.argv[1]), int(sys.argv[2])
context = SessionContext(SessionConfig().with_target_partitions(files))
context.register_parquet("t", str(folder / "read"))
context.sql("SELECT max(x) FROM t").collect()
sweeper = Sweeper(folder, 1 << 40)
sweeper.sweep()
before = private_bytes()
for _ in range(32 * files):
    sweeper.sweep()
print(before - private_bytes())
"""


def test_it_reads_its_file_again_and_again_even_when_that_is_gone(tmp_path: Path) -> None:
    sweeper = Sweeper(tmp_path, GIB)
    columns = sweeper.sweep()
    assert columns > 100
    assert sweeper.sweep() == columns
    (file,) = tmp_path.iterdir()
    file.unlink()
    with pytest.raises(Exception, match="not found"):
        sweeper.sweep()
    assert sweeper.sweep() == columns


class Watched(Sweeper):
    """Tells when it has swept."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, engine_bytes=0)
        self.swept = threading.Event()

    def sweep(self) -> int:
        columns = super().sweep()
        self.swept.set()
        return columns


def test_only_an_engine_that_works_is_swept(tmp_path: Path) -> None:
    asked, works = threading.Semaphore(0), threading.Event()

    def is_busy() -> bool:
        asked.release()
        return works.is_set()

    sweeper = Watched(tmp_path)
    sweeper.start(is_busy)
    for _ in range(3):
        assert asked.acquire(timeout=30)
    assert not list(tmp_path.iterdir())
    works.set()
    assert sweeper.swept.wait(30)
    sweeper.close()
    assert "sweeper" not in [thread.name for thread in threading.enumerate()]


def test_what_was_read_and_freed_goes_back_when_threads_are_swept(tmp_path: Path) -> None:
    table = pa.table({"x": pa.array([os.urandom(CHUNK_BYTES) for _ in range(GROUPS)], pa.binary())})
    (tmp_path / "read").mkdir()
    for number in range(FILES):
        pq.write_table(table, tmp_path / "read" / f"{number}.parquet", row_group_size=1, use_dictionary=False)
    environment = {**os.environ, **allocator.environment(2 * GIB)}
    command = [sys.executable, "-c", READ_AND_SWEEP, str(tmp_path), str(FILES)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert int(ran.stdout) > KEPT_AT_LEAST, ran.stdout
