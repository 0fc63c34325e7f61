"""What a statement used, from the metrics of its executed plan's operators."""

from collections.abc import Iterable

from firn_model.messages import Statistics

from firn_runtime.cache.lease import Lease
from firn_runtime.engine.operators import NANOSECONDS, Reading


def measure(
    read: Iterable[Reading],
    *,
    rows: int,
    bytes_produced: int,
    files: int,
    lease: Lease,
    is_local: bool = False,
    plan_seconds: float,
    execute_seconds: float,
) -> Statistics:
    """Return a statement's statistics.

    `files` is how many files its tables have: the engine opens a large file once for each part of it. What it
    reads from local disk was brought there by the lease, which knows from where; with `is_local` that is all.
    """
    scanned_rows = scanned_bytes = remote_bytes = spilled_bytes = opened = nanoseconds = 0
    for reading in read:
        nanoseconds += reading.nanoseconds
        spilled_bytes += reading.spilled_bytes
        if reading.is_scan:
            scanned_rows += reading.rows
            read_bytes = reading.sum("bytes_scanned")
            scanned_bytes += read_bytes
            remote_bytes += 0 if is_local or lease.reads_by(reading.description) else read_bytes
            opened += reading.sum("files_opened")
    usage = lease.usage
    return Statistics(
        rows_produced=rows,
        bytes_produced=bytes_produced,
        rows_scanned=scanned_rows,
        bytes_scanned=scanned_bytes,
        bytes_from_object_store=remote_bytes + usage.object_store_bytes,
        bytes_from_cache=usage.memory_bytes + usage.disk_bytes,
        bytes_from_memory=usage.memory_bytes,
        bytes_from_disk=usage.disk_bytes,
        bytes_spilled_local=spilled_bytes,
        files_scanned=min(opened, files),
        cpu_seconds=nanoseconds / NANOSECONDS,
        plan_seconds=plan_seconds,
        execute_seconds=execute_seconds,
    )
