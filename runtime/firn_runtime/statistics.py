"""What a statement used, from the metrics of its executed plan (datafusion's `ExecutionPlan.collect_metrics`)."""

from datafusion.plan import ExecutionPlan, MetricsSet
from firn_model.messages import Statistics

from firn_runtime.cache.lease import Lease

_NANOSECONDS = 1e9
_EXCHANGE = "file_type=arrow"
"""In the description of a leaf that reads what a stage gave out: nothing of a table."""


def measure(
    plan: ExecutionPlan,
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
    for description, metrics in plan.collect_metrics():
        spilled_bytes += metrics.spilled_bytes or 0
        if _EXCHANGE in description:
            nanoseconds += metrics.elapsed_compute or 0
        elif description.startswith("DataSourceExec"):
            scanned_rows += metrics.output_rows or 0
            read_bytes = _sum(metrics, "bytes_scanned")
            scanned_bytes += read_bytes
            remote_bytes += 0 if is_local or lease.reads_by(description) else read_bytes
            opened += _sum(metrics, "files_opened")
            nanoseconds += max(metrics.elapsed_compute or 0, _sum(metrics, "time_elapsed_processing"))
        else:
            nanoseconds += metrics.elapsed_compute or 0
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
        cpu_seconds=nanoseconds / _NANOSECONDS,
        plan_seconds=plan_seconds,
        execute_seconds=execute_seconds,
    )


def _sum(metrics: MetricsSet, name: str) -> int:
    return metrics.sum_by_name(name) or 0
