"""One statement on its way to a warehouse."""

import heapq
from collections.abc import Iterator
from operator import itemgetter
from random import Random
from typing import NamedTuple


class Arriving(NamedTuple):
    """When it arrives (seconds from the start), where, and what it needs."""

    at: float
    warehouse: str
    cpu_seconds: float
    memory_bytes: int = 0
    dop: int | None = None
    scan_bytes: int = 0


def merged(streams: list[Iterator[Arriving]]) -> Iterator[Arriving]:
    """Return all in the order of their time; at the same time, in the order of the streams."""
    return streams[0] if len(streams) == 1 else heapq.merge(*streams, key=itemgetter(0))


def generator(*names: object) -> Random:
    """Return a random generator that these names alone determine."""
    return Random(":".join(str(n) for n in names))  # noqa: S311  a simulation, no secret
