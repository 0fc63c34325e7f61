"""The figures of one run."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from firn_simulator.recorder import Recorder


@dataclass(frozen=True, slots=True)
class Times:
    """A duration's percentiles (nearest rank), in seconds."""

    p50: float
    p95: float
    p99: float
    longest: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Times":
        """Return those of some durations; zeros when there are none."""
        if not seconds:
            return cls(0.0, 0.0, 0.0, 0.0)
        ordered = sorted(seconds)
        ranks = (-(-len(ordered) * percent // 100) for percent in (50, 95, 99, 100))
        return cls(*(ordered[max(rank, 1) - 1] for rank in ranks))


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run came to. Hours are of nodes; `utilisation` is CPU used over CPU paid for.

    `credits` include those of burst nodes; `pool_hits` those claims that took parked nodes.
    """

    name: str
    statements: int
    expired: int
    unfinished: int
    queued: Times
    ran: Times
    credits: Decimal
    clusters_peak: int
    cluster_starts: int
    resumes: int
    pool_hits: int
    pool_misses: int
    misses_by_reason: dict[str, int]
    parked_claims: int
    parked_node_hours: float
    burst_credits: Decimal
    burst_nodes_peak: int
    node_failures: int
    reruns: int
    cold_bytes: int
    idle_node_hours: float
    utilisation: float
    simulated_seconds: float

    @property
    def hit_rate(self) -> float | None:
        """Claims that found a warm node waiting, of all; None without claims."""
        claims = self.pool_hits + self.pool_misses
        return self.pool_hits / claims if claims else None

    def as_json(self) -> dict[str, Any]:
        """Return it for programs: seconds to the millisecond, credits as a decimal string."""
        plain = asdict(self)
        for key in ("queued", "ran"):
            plain[f"{key}_seconds"] = {k: round(v, 3) for k, v in plain.pop(key).items()}
        rate = self.hit_rate
        return plain | {
            "credits": f"{self.credits:.6f}",
            "burst_credits": f"{self.burst_credits:.6f}",
            "parked_node_hours": round(self.parked_node_hours, 3),
            "pool_hit_rate": None if rate is None else round(rate, 4),
            "idle_node_hours": round(self.idle_node_hours, 3),
            "utilisation": round(self.utilisation, 4),
            "simulated_seconds": round(self.simulated_seconds, 3),
        }


def summarise(name: str, recorder: Recorder) -> Summary:
    """Return the figures of a run."""
    paid = recorder.paid_core_seconds
    return Summary(
        name=name,
        statements=len(recorder.arrived),
        expired=recorder.expired,
        unfinished=recorder.open,
        queued=Times.of(recorder.queued),
        ran=Times.of(recorder.ran),
        credits=recorder.credits,
        clusters_peak=recorder.clusters.peak,
        cluster_starts=recorder.starts.total(),
        resumes=recorder.resumes,
        pool_hits=recorder.hits,
        pool_misses=recorder.misses.total(),
        misses_by_reason=dict(sorted(recorder.misses.items())),
        parked_claims=recorder.parked_claims,
        parked_node_hours=recorder.parked_nodes.until(recorder.ended_at) / 3600,
        burst_credits=recorder.burst_credits,
        burst_nodes_peak=recorder.burst_nodes.peak,
        node_failures=recorder.failures,
        reruns=recorder.reruns,
        cold_bytes=recorder.cold_bytes,
        idle_node_hours=recorder.idle_nodes.until(recorder.ended_at) / 3600,
        utilisation=recorder.busy_core_seconds / paid if paid else 0.0,
        simulated_seconds=recorder.seconds,
    )
