"""What the services report of a warehouse's load, and when.

Source: design.md "Who writes what": on edges at once, else at most once a second and only when changed.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

INTERVAL = timedelta(seconds=1)


class ClusterShare(NamedTuple):
    """How busy one cluster is: its statements, and the same with small ones as fractions."""

    name: str
    running: int
    concurrency: float


@dataclass(frozen=True, slots=True)
class Burst:
    """Burst nodes that one cluster's statements want, and until when unless they want them again.

    Which they are and what they have left changes all the time, and alone is no reason to report.
    """

    cluster: str
    nodes: int
    expires_at: datetime
    statements: tuple[str, ...] = field(default=(), compare=False)
    remaining_bytes: int = field(default=0, compare=False)
    remaining_seconds: float = field(default=0.0, compare=False)


class Load(NamedTuple):
    """How busy a warehouse is. `idle_since` is set exactly when nothing is queued and nothing runs.

    `queued_seconds`: what one cluster needs for all that waits, as far as is known. A tuple: two are compared, and
    mostly forgotten, at each change of a queue.
    """

    queued: int = 0
    running: int = 0
    queued_since: datetime | None = None
    idle_since: datetime | None = None
    queued_seconds: float = 0.0
    clusters: tuple[ClusterShare, ...] = ()
    burst: tuple[Burst, ...] = ()


class Reported(NamedTuple):
    """What was last written, and when."""

    load: Load
    at: datetime


@dataclass(frozen=True, slots=True)
class Decision:
    """Write `load` now, or look again at `wake_at`, or neither."""

    write: bool = False
    wake_at: datetime | None = None


WRITE, NOTHING = Decision(write=True), Decision()


def is_edge(before: Load, after: Load) -> bool:
    """Return whether the operator must hear of it at once.

    Something waits where nothing did, all is done, or a cluster wants burst nodes that wanted none, or none any more.
    """
    first_queued = before.queued == 0 and after.queued > 0
    all_done = before.queued + before.running > 0 and after.queued + after.running == 0
    if first_queued or all_done:
        return True
    if not before.burst and not after.burst:
        return False
    return {burst.cluster for burst in before.burst} != {burst.cluster for burst in after.burst}


def decide(load: Load, last: Reported | None, now: datetime) -> Decision:
    """Return whether to report a warehouse's load now. Nothing reported yet is reported at once (a start)."""
    if last is None:
        return WRITE
    if load == last.load:
        return NOTHING
    if is_edge(last.load, load) or now >= last.at + INTERVAL:
        return WRITE
    return Decision(wake_at=last.at + INTERVAL)
