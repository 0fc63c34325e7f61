"""What a statement needs of a cluster, what a cluster has, and what of it a statement gets.

Source: seed article, "Primer on job scheduling in virtual warehouses": a cluster's memory is what each of its nodes has
net of the system's own footprint, times its nodes; the degree of parallelism (DOP) of a statement is the processes that
run it at the same time, at most processes a node times nodes; the load is taken to be even over a cluster's nodes.
"""

from dataclasses import dataclass
from typing import NamedTuple

MOST_STATEMENTS = 1000
"""Statements that a head holds at most, however small they are (runtime, state.MOST_HELD)."""
ANY_DOP = 1 << 20
"""As many processes as a cluster has."""


class Need(NamedTuple):
    """What a statement takes: memory of all its nodes together, and processes (DOP) within its limits.

    A DOP above what a cluster has is cut to that. It is the key of those who wait, so a tuple, which is hashed fast.
    """

    memory_bytes: int = 0
    dop: int = 1
    lowest_dop: int = 1
    highest_dop: int = ANY_DOP


class Grant(NamedTuple):
    """What a statement got of a cluster."""

    memory_bytes: int = 0
    dop: int = 1


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster and what it has: nodes of its size, and the memory of those that are ready, net of their overhead.

    `cores` is the processes a node; `is_open` says whether it takes statements now; with another `epoch` it is another
    cluster of the same name, without its caches.
    """

    name: str
    index: int
    nodes: int
    cores: int
    memory_bytes: int
    is_open: bool = True
    epoch: str = ""

    @property
    def most_dop(self) -> int:
        """Return the processes that one statement may have here: processes a node times nodes."""
        return self.nodes * self.cores


@dataclass(frozen=True, slots=True)
class Limits:
    """The warehouse's bounds.

    `max_concurrency`: how often a cluster's processes are given out; a statement of the highest DOP counts as one, a
    smaller one as its fraction. `patience`: how long a statement that fits nowhere lets smaller ones pass.
    """

    max_concurrency: int = 8
    patience_seconds: float = 30.0
