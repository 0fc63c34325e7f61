"""Percentiles and breakdowns of measured durations. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

ANSWERED = "first row at the client"


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest of the values that at least `percent` of them do not exceed (nearest rank).

    `percent` is above 0 and at most 100. Raises ValueError without values.
    """
    if not values or not 0 < percent <= 100:
        raise ValueError("a percentile takes values, and a percent above 0 and at most 100")
    ordered = sorted(values)
    rank = -(-len(ordered) * percent // 100)  # rounded up
    return ordered[max(int(rank), 1) - 1]


@dataclass(frozen=True, slots=True)
class Summary:
    """Durations at a glance, in milliseconds."""

    n: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Summary":
        """Return the summary of durations in seconds."""
        ms = [1000 * value for value in seconds]
        return cls(len(ms), percentile(ms, 50), percentile(ms, 90), percentile(ms, 99), max(ms))

    def as_json(self) -> dict[str, float]:
        """Return it with a tenth of a millisecond."""
        return {
            "n": self.n,
            "p50_ms": round(self.p50_ms, 1),
            "p90_ms": round(self.p90_ms, 1),
            "p99_ms": round(self.p99_ms, 1),
            "max_ms": round(self.max_ms, 1),
        }


@dataclass(frozen=True, slots=True)
class Sample:
    """One statement: its total by the client's clock, and what each step of it took, in seconds and in order."""

    label: str
    total_seconds: float
    steps: dict[str, float] = field(default_factory=dict)
    cluster: str | None = None
    """Where it ran."""


def breakdown(sent_at: datetime, steps: Iterable[tuple[str, datetime]], answered_at: datetime) -> dict[str, float]:
    """Return what each step took, in seconds: the time since the step before it, the first since `sent_at`.

    The last entry is the way of the answer to the client. A step that happened twice counts with both times; the sum
    of all is `answered_at - sent_at`.
    """
    durations: dict[str, float] = {}
    before = sent_at
    for name, at in sorted(steps, key=lambda step: step[1]):
        durations[name] = durations.get(name, 0.0) + (at - before).total_seconds()
        before = at
    durations[ANSWERED] = (answered_at - before).total_seconds()
    return durations


def step_summaries(samples: Sequence[Sample]) -> dict[str, Summary]:
    """Return each step's summary, in the order in which the steps first appear."""
    seconds: dict[str, list[float]] = {}
    for sample in samples:
        for name, value in sample.steps.items():
            seconds.setdefault(name, []).append(value)
    last = seconds.pop(ANSWERED, None)
    if last is not None:
        seconds[ANSWERED] = last
    return {name: Summary.of(values) for name, values in seconds.items()}


def most_overtaken(times: Sequence[tuple[float, float]]) -> int:
    """Return by how many that asked later the one was overtaken that fared worst; `times` are (asked, served).

    Fair is what serves in the order of asking.
    """
    served = sorted(range(len(times)), key=lambda i: times[i][1])
    place = {index: position for position, index in enumerate(served)}
    asked = sorted(range(len(times)), key=lambda i: times[i][0])
    return max((place[index] - position for position, index in enumerate(asked)), default=0)
