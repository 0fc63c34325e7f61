"""Decoded columns for the scans of one plan: which scans are served them, decoded now where that is worth it.

The engine decodes what is missing itself, by scans of those columns alone, so that the types are what the plan has.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from firn_runtime.cache.heat import Verdict
from firn_runtime.cache.hot_columns import ColumnKey, HotColumns, HotHold
from firn_runtime.cache.hot_scans import HotScan, decoding, hot_scan, leaf_node
from firn_runtime.cache.layout import Layout
from firn_runtime.cache.lease import Lease
from firn_runtime.cache.scan_needs import needs_of
from firn_runtime.resident import private_bytes

if TYPE_CHECKING:
    from datafusion import SessionContext


@dataclass(frozen=True, slots=True)
class _Asked:
    """A scan that may be served, and what is to be done for that."""

    leaf: bytes
    scan: HotScan
    verdict: Verdict


class Serving:
    """Decoded columns and the session that decodes them. Calls block and may come from any thread."""

    def __init__(self, tier: HotColumns, context: "SessionContext", cpus: int) -> None:
        """Decode on so many cores at once."""
        self.tier = tier
        self._context = context
        self._cpus = cpus

    def concerns(self, lease: Lease) -> bool:
        """Whether any of a lease's files is kept by columns."""
        return any(held.layout.starts for held in lease.held.values())

    def promises(self, lease: Lease) -> bool:
        """Whether a plan over a lease's files is worth being made for decoded columns."""
        return self.tier.promises(lease.held)

    def begin(self) -> None:
        """Let a statement begin: what the process needs by now is taken from the tier."""
        self.tier.give_way(private_bytes())

    def note(self, lease: Lease, leaves: Iterable[bytes]) -> None:
        """Note that scans were planned that read files: the columns that they use may be served the next time."""
        layouts = _layouts(lease)
        for leaf in leaves:
            self._asked(lease, layouts, leaf)

    def serve(self, lease: Lease, leaves: Sequence[bytes]) -> list[bytes | None] | None:
        """Return the leaf of each scan that is served, as the bytes of an extension node, None for the others.

        The others' files are brought, and what the leaves give is held by the lease. None altogether when files had to
        be let go. Raises what the engine raises, StatementFailedError, RewrittenError.
        """
        layouts = _layouts(lease)
        asked = [self._asked(lease, layouts, leaf) for leaf in leaves]
        served = [self._held(lease, each) if each is not None else None for each in asked]
        left = [leaf for leaf, node in zip(leaves, served, strict=True) if node is None]
        if not lease.bring(need for leaf in left for need in needs_of(leaf)):
            return None
        for number, each in enumerate(asked):
            if each is not None and each.verdict is Verdict.FILL and served[number] is None:
                served[number] = self._filled(lease, each)
        return served

    def _asked(self, lease: Lease, layouts: Mapping[str, Layout], leaf: bytes) -> _Asked | None:
        """Return what a serialised scan reads, and what is to be done; None when it stays a scan of files."""
        scan = hot_scan(leaf, layouts)
        if scan is None:
            return None
        found = self.tier.ask(scan.sizes)
        if found is Verdict.SERVE or (found is Verdict.FILL and lease.fills):
            return _Asked(leaf, scan, found)
        return None

    def _held(self, lease: Lease, asked: _Asked) -> bytes | None:
        """Return the leaf of a scan whose columns are there."""
        return _node(lease, asked, self.tier.hold(asked.scan.sizes))

    def _filled(self, lease: Lease, asked: _Asked) -> bytes | None:
        """Return the leaf of a scan whose files are there, its columns decoded now; None when there is no room."""
        return _node(lease, asked, self.tier.fill(asked.scan.sizes, partial(self._decoded, asked)))

    def _decoded(self, asked: _Asked, missing: Sequence[ColumnKey]) -> Iterator[tuple[ColumnKey, Any]]:
        """Yield columns as the engine decodes them, a few row groups at once."""
        from datafusion.plan import ExecutionPlan

        with ThreadPoolExecutor(self._cpus, thread_name_prefix="decode") as pool:
            for plan, partitions in decoding(asked.leaf, asked.scan, frozenset(missing)):
                scan = ExecutionPlan.from_bytes(self._context, plan)
                for start in range(0, len(partitions), self._cpus):
                    numbers = range(start, min(start + self._cpus, len(partitions)))
                    decoded = list(pool.map(partial(self._read, scan), numbers))
                    for number, batches in zip(numbers, decoded, strict=True):
                        yield from _columns(partitions[number], batches)

    def _read(self, scan: Any, number: int) -> list[pa.RecordBatch]:
        return [batch.to_pyarrow() for batch in self._context.execute(scan, number)]


def _layouts(lease: Lease) -> dict[str, Layout]:
    """Return how each file of a lease lies, by its key."""
    return {key: held.layout for key, held in lease.held.items()}


def _node(lease: Lease, asked: _Asked, hold: HotHold | None) -> bytes | None:
    """Return a scan's leaf over columns that the lease keeps from now on."""
    if hold is None:
        return None
    node = leaf_node(asked.scan, hold.columns)
    if node is None:
        hold.release()
        return None
    lease.keep(hold)
    return node


def _columns(keys: Sequence[ColumnKey], batches: list[pa.RecordBatch]) -> Iterator[tuple[ColumnKey, Any]]:
    """Yield each column of a row group with a stream of it."""
    for number, key in enumerate(keys):
        pieces = [batch.select([number]) for batch in batches]
        if pieces:
            yield key, pa.RecordBatchReader.from_batches(pieces[0].schema, pieces)
