"""How far a running statement is, in the words of a progress frame. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from firn_model.messages import BurstWish, Progress, TableSnapshot

from firn_runtime.engine.operators import Reading, table_read
from firn_runtime.schedule.state import State
from firn_runtime.statements.profiling import Ledger

TICK_SECONDS = 0.5
QUIET_SECONDS = 1.0
"""A statement says how far it is when it runs longer than this."""
ALMOST = 0.99
"""What is done of a plan that runs whole when all its tables are read: how much is left then, nobody knows."""


def progress_of(state: State, ledger: Ledger, fraction: float, wish: BurstWish | None) -> Progress:
    """Return what the statement's schedule and finished tasks say of it; `fraction` never falls."""
    unfinished = state.needed_stages()
    return Progress(
        fraction=fraction,
        burst=wish,
        burst_nodes=sum(node.is_burst and bool(node.runs) for node in state.nodes.values()),
        rows_scanned=sum(run.used.rows_scanned for run in ledger.ran),
        bytes_scanned=sum(run.used.bytes_scanned for run in ledger.ran),
        stage=unfinished[0] + 1 if unfinished else None,
        stages=len(state.stages),
    )


def progress_of_whole(read: Iterable[Reading], tables: Sequence[TableSnapshot], local: Mapping[str, Path]) -> Progress:
    """Return how far a plan is that runs whole: how many of its tables' rows its scans have given out.

    Row groups that a scan may skip are never given out, so it can end early. `local` are copies of files.
    """
    rows = {table.name: sum(file.rows for file in table.files) for table in tables}
    scans = [(each, table_read(each, tables, local)) for each in read if each.is_scan]
    known = [(each.rows, rows[table]) for each, table in scans if table is not None]
    total = sum(most for _, most in known)
    done = sum(min(given, most) for given, most in known)
    return Progress(
        fraction=min(done / total, ALMOST) if total and len(known) == len(scans) else None,
        rows_scanned=sum(each.rows for each, _ in scans),
        bytes_scanned=sum(each.sum("bytes_scanned") for each, _ in scans),
    )
