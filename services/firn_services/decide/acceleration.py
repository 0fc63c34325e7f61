"""What burst nodes would have done for a past statement.

Source: snowflake-surface.md, "query acceleration" (SYSTEM$ESTIMATE_QUERY_ACCELERATION and its JSON); seed article,
"Query Acceleration Service". As documented there, the times hold when all nodes of a scale factor work for the
statement alone: its scans are shared evenly by 1 + factor times its cluster, the rest takes as long as it did.
"""

import math
from dataclasses import dataclass, field
from enum import StrEnum

from firn_services.decide.burst import LEAST_NODE_BYTES
from firn_services.decide.needs import SCAN_BYTES_A_SECOND

MOST_FACTOR = 100
WORTHY_GAIN = 0.05
"""The upper limit is the first factor from which no other gains more than this part of the time."""


class Status(StrEnum):
    """Whether a statement can gain."""

    ELIGIBLE = "eligible"
    INELIGIBLE = "ineligible"
    ACCELERATED = "accelerated"
    INVALID = "invalid"


class Obstacle(StrEnum):
    """Why it cannot. The first is Snowflake's."""

    SMALL_SCAN = "NO_LARGE_ENOUGH_SCAN"
    NOT_SUCCEEDED = "QUERY_DID_NOT_SUCCEED"
    WRITES = "WRITES_RUN_ON_ONE_NODE"
    WAREHOUSE_TYPE = "WAREHOUSE_TYPE_NOT_SUPPORTED"


@dataclass(frozen=True, slots=True)
class Past:
    """How a statement ran, on a cluster of `nodes`; times in seconds. `scan_seconds` 0: not measured."""

    seconds: float
    scan_seconds: float
    scan_bytes: int
    nodes: int
    cores: int
    burst_tasks: int = 0
    obstacle: Obstacle | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """The answer: seconds by scale factor, none unless it is eligible."""

    status: Status
    seconds: float = 0.0
    times: dict[int, float] = field(default_factory=dict)
    obstacle: Obstacle | None = None
    scan_seconds: float = 0.0
    """The part of the time that burst nodes can share; 0 unless it is eligible."""

    @property
    def upper_limit(self) -> int:
        """The highest scale factor of the times."""
        return max(self.times, default=0)


def estimate(past: Past | None, least_bytes: int, least_seconds: float) -> Estimate:
    """Return what burst nodes would have done, for scans of at least so much; None: there is no such statement."""
    if past is None:
        return Estimate(Status.INVALID)
    if past.burst_tasks:
        return Estimate(Status.ACCELERATED, past.seconds)
    if past.obstacle is not None:
        return Estimate(Status.INELIGIBLE, past.seconds, obstacle=past.obstacle)
    scan = _scan_seconds(past)
    most = min(past.scan_bytes // LEAST_NODE_BYTES // past.nodes, MOST_FACTOR)
    if past.scan_bytes < least_bytes or scan < least_seconds or most < 1:
        return Estimate(Status.INELIGIBLE, past.seconds, obstacle=Obstacle.SMALL_SCAN)

    def seconds(factor: int) -> float:
        return past.seconds - scan + scan / (1 + factor)

    upper = next(factor for factor in range(1, most + 1) if seconds(factor) <= seconds(most) * (1 + WORTHY_GAIN))
    factors = [1 << power for power in range(math.ceil(math.log2(upper)))]
    times = {factor: seconds(factor) for factor in (*factors, upper)}
    return Estimate(Status.ELIGIBLE, past.seconds, times, scan_seconds=scan)


def _scan_seconds(past: Past) -> float:
    """Return how long it scanned: as measured, or else as its bytes and processes suggest, never longer than it ran."""
    guessed = past.scan_bytes / SCAN_BYTES_A_SECOND / (past.nodes * past.cores)
    return min(past.scan_seconds or guessed, past.seconds)
