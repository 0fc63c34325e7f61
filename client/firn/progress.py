"""How far a running statement is, in words."""

import math

from firn_model.api import StatementProgress, StatementReply

from firn import output


def percent_text(progress: StatementProgress | None) -> str:
    """Return `43 %`, rounded down so that 100 is the end, or nothing where it is not known."""
    return "" if progress is None or progress.percent is None else f"{math.floor(progress.percent)} %"


def progress_text(progress: StatementProgress) -> str:
    """Return all that is known: `43 %, 1,200 rows and 3.4 GiB read, stage 2 of 5, 4 burst nodes`."""
    parts = [percent_text(progress)]
    if progress.rows_scanned or progress.bytes_scanned:
        rows = output.count_text(progress.rows_scanned, "row")
        parts.append(f"{rows} and {output.bytes_text(progress.bytes_scanned)} read")
    if progress.stage is not None and progress.stages:
        parts.append(f"stage {progress.stage} of {progress.stages}")
    if progress.burst_nodes:
        parts.append(output.count_text(progress.burst_nodes, "burst node"))
    return ", ".join(part for part in parts if part)


def state_text(reply: StatementReply) -> str:
    """Return a statement's state, with its percent while it runs."""
    return f"{reply.state.value} {percent_text(reply.progress)}".rstrip()
