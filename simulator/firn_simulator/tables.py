"""The figures of runs side by side, for people."""

from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Table

from firn_simulator.summary import Summary

Cell = Callable[[Summary], str]


def seconds_text(seconds: float) -> str:
    """Return a duration: 43 ms, 2.71 s, 3 min 05 s, 2 h 05 min."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s" if seconds >= 10 else f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


ROWS: tuple[tuple[str, Cell], ...] = (
    ("statements", lambda s: f"{s.statements:,}"),
    ("queued p50", lambda s: seconds_text(s.queued.p50)),
    ("queued p95", lambda s: seconds_text(s.queued.p95)),
    ("queued p99", lambda s: seconds_text(s.queued.p99)),
    ("queued longest", lambda s: seconds_text(s.queued.longest)),
    ("ran p50", lambda s: seconds_text(s.ran.p50)),
    ("ran p95", lambda s: seconds_text(s.ran.p95)),
    ("ran p99", lambda s: seconds_text(s.ran.p99)),
    ("credits", lambda s: f"{s.credits:,.2f}"),
    ("CPU used of paid", lambda s: f"{s.utilisation:.0%}"),
    ("clusters at most", lambda s: f"{s.clusters_peak:,}"),
    ("cluster starts", lambda s: f"{s.cluster_starts:,}"),
    ("resumes", lambda s: f"{s.resumes:,}"),
    ("pool hits / misses", lambda s: f"{s.pool_hits:,} / {s.pool_misses:,}"),
    ("idle node-hours", lambda s: f"{s.idle_node_hours:,.1f}"),
)
ONLY_IF_ANY: tuple[tuple[str, Cell], ...] = (
    ("credits of burst nodes", lambda s: f"{s.burst_credits:,.2f}" if s.burst_credits else ""),
    ("burst nodes at most", lambda s: f"{s.burst_nodes_peak:,}" if s.burst_nodes_peak else ""),
    ("claims of parked nodes", lambda s: f"{s.parked_claims:,}" if s.parked_claims else ""),
    ("parked node-hours", lambda s: f"{s.parked_node_hours:,.1f}" if s.parked_node_hours >= 0.05 else ""),
    ("nodes that failed", lambda s: f"{s.node_failures:,}" if s.node_failures else ""),
    ("statements run again", lambda s: f"{s.reruns:,}" if s.reruns else ""),
    ("GiB read cold", lambda s: f"{s.cold_bytes / 2**30:,.1f}" if s.cold_bytes else ""),
    ("timed out", lambda s: f"{s.expired:,}" if s.expired else ""),
    ("never ended", lambda s: f"{s.unfinished:,}" if s.unfinished else ""),
)


def write(console: Console, summaries: Sequence[Summary]) -> None:
    """Write one column a run."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("")
    for summary in summaries:
        table.add_column(summary.name, justify="right")
    for name, cell in ROWS:
        table.add_row(name, *(cell(s) for s in summaries))
    for name, cell in ONLY_IF_ANY:
        cells = [cell(s) for s in summaries]
        if any(cells):
            table.add_row(name, *(c or "0" for c in cells))
    console.print(table)
