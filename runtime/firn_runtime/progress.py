"""How far a running statement is, in the words of a progress frame. Pure."""

from firn_model.messages import BurstWish, Progress

from firn_runtime.profiling import Ledger
from firn_runtime.schedule.state import State


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
