"""The operators of an executed plan, with what each has measured (datafusion's `ExecutionPlan.metrics`)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from firn_model.messages import TableSnapshot
from firn_model.profile import MOST_DETAIL, MOST_OPERATORS, OperatorProfile

if TYPE_CHECKING:
    from datafusion.plan import ExecutionPlan, MetricsSet

NANOSECONDS = 1e9
EXCHANGE = "file_type=arrow"
"""In the description of a leaf that reads what a stage gave out: nothing of a table."""
SCAN = "Scan"
DECODED = "FFI_ExecutionPlan: HotColumns "
"""How the description of a leaf over decoded columns begins; the path of a first file follows, as in a scan's."""
_FIRST = (SCAN + " ", "read stage ")
"""How kinds begin that are told as they were planned: what a leaf reads is known there."""
_FILES = re.compile(r"^file_groups=\{.*?\]\}, ")
_PRUNING = re.compile(r", file_type=\w+|, (dynamic_rg_pruning|pruning_predicate|required_guarantees)=.*$")
_FIRST_FILE = re.compile(r"\[\[([^,\]]+?)(?::\d+\.\.\d+)?[,\]]")
_PLACE = re.compile(r"@\d+")


@dataclass(frozen=True, slots=True)
class Reading:
    """One operator of a plan: how deep it is, its description by the engine, and its metrics, if it has any."""

    depth: int
    description: str
    metrics: MetricsSet | None

    @property
    def is_scan(self) -> bool:
        """Whether it reads tables."""
        return self.description.startswith(("DataSourceExec", DECODED)) and EXCHANGE not in self.description

    @property
    def nanoseconds(self) -> int:
        """Time that it computed, without its inputs."""
        if self.metrics is None:
            return 0
        computed = self.metrics.elapsed_compute or 0
        return max(computed, self.sum("time_elapsed_processing")) if self.is_scan else computed

    @property
    def rows(self) -> int:
        """Rows given out."""
        return (self.metrics.output_rows or 0) if self.metrics is not None else 0

    @property
    def spilled_bytes(self) -> int:
        """Bytes that found no room in memory."""
        return (self.metrics.spilled_bytes or 0) if self.metrics is not None else 0

    def sum(self, name: str) -> int:
        """Return the sum of a metric of all partitions."""
        return (self.metrics.sum_by_name(name) or 0) if self.metrics is not None else 0


def readings(plan: ExecutionPlan, depth: int = 0) -> Iterable[Reading]:
    """Yield a plan's operators from the root, each before its inputs."""
    yield Reading(depth, plan.display(), plan.metrics())
    for child in plan.children():
        yield from readings(child, depth + 1)


def operators_of(
    read: Iterable[Reading], tables: Sequence[TableSnapshot] = (), local: Mapping[str, Path] = MappingProxyType({})
) -> tuple[OperatorProfile, ...]:
    """Return what a profile tells of operators, no more than it has room for; scans of known tables have their names.

    `local` are copies of files, by their address.
    """
    operators = []
    for reading in islice(read, MOST_OPERATORS):
        name, detail = described(reading.description)
        table = table_read(reading, tables, local)
        operators.append(_operator(reading, name if table is None else f"{SCAN} {table}", detail))
    return tuple(operators)


def _operator(reading: Reading, name: str, detail: str) -> OperatorProfile:
    return OperatorProfile.model_construct(
        name=name,
        detail=detail,
        depth=reading.depth,
        rows=reading.rows,
        seconds=reading.nanoseconds / NANOSECONDS,
        bytes_scanned=reading.sum("bytes_scanned") if reading.is_scan else 0,
        bytes_spilled=reading.spilled_bytes,
    )


def table_read(reading: Reading, tables: Sequence[TableSnapshot], local: Mapping[str, Path]) -> str | None:
    """Return which of these tables an operator scans; None for other operators and other files."""
    first = _FIRST_FILE.search(reading.description) if reading.is_scan and tables else None
    return table_of(first.group(1), tables, local) if first is not None else None


def table_of(path: str, tables: Iterable[TableSnapshot], local: Mapping[str, Path]) -> str | None:
    """Return which table a file is of: its path as a plan has it, below its store; `local` are files' copies."""
    return next(
        (t.name for t in tables for f in t.files if f.uri.endswith(path) or _ends(local.get(f.uri), path)),
        None,
    )


def _ends(copy: Path | None, path: str) -> bool:
    return copy is not None and copy.as_posix().endswith(path)


def described(description: str) -> tuple[str, str]:
    """Return an operator's kind, and what it does without names of files and places of columns."""
    if description.startswith(DECODED):
        return SCAN, "decoded columns in memory"
    name, _, detail = description.strip().partition(": ")
    kind = name.removesuffix("Exec")
    if kind == "DataSource":
        kind = "Exchange" if EXCHANGE in detail else SCAN
        detail = "" if EXCHANGE in detail else _PRUNING.sub("", _FILES.sub("", detail))
    detail = _PLACE.sub("", detail)
    return kind, detail if len(detail) <= MOST_DETAIL else detail[: MOST_DETAIL - 1] + "…"


def summed(plans: Sequence[Sequence[OperatorProfile]], planned: Sequence[str]) -> tuple[OperatorProfile, ...]:
    """Return the operators of a stage's tasks, which all have the same plan, with their sums.

    `planned` are the kinds as they were cut: they say which stage or table a leaf reads.
    """
    if not plans:
        return ()
    kinds = [*planned, *[""] * MOST_OPERATORS]
    return tuple(
        same[0].model_copy(
            update={
                "name": kinds[number] if kinds[number].startswith(_FIRST) else same[0].name,
                "rows": sum(each.rows for each in same),
                "seconds": sum(each.seconds for each in same),
                "bytes_scanned": sum(each.bytes_scanned for each in same),
                "bytes_spilled": sum(each.bytes_spilled for each in same),
            }
        )
        for number, same in enumerate(zip(*plans, strict=False))
    )
