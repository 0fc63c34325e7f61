"""What is learnt of each pool's claims between two writes of its status: demand, hits, misses and their reasons."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from firn_model.pools import PoolStatus

from firn_operator import metrics
from firn_operator.build.demand import demand_of, demand_status
from firn_operator.decide.demand import Demand, booted, claimed, roll
from firn_operator.decide.observed import Node, Pool
from firn_operator.decide.reason import Reason


@dataclass
class Counts:
    """Claims that the status does not tell of yet."""

    hits: int = 0
    misses: Counter[Reason] = field(default_factory=Counter)

    @property
    def claims(self) -> int:
        """How many they are."""
        return self.hits + self.misses.total()


class Demands:
    """The demand of all pools; after a restart it goes on from their statuses."""

    def __init__(self) -> None:
        self._by_pool: dict[str, Demand] = {}
        self._counts: defaultdict[str, Counts] = defaultdict(Counts)

    def of(self, pool: Pool, now: datetime) -> Demand:
        """Return what is known of a pool's claims, the past hour learnt."""
        known = self._by_pool.get(pool.name)
        if known is None:
            known = demand_of(pool.status)
        claims = pool.status.hits + pool.status.misses + self._counts[pool.name].claims
        learnt = self._by_pool[pool.name] = roll(known, claims, now)
        return learnt

    def forget(self, pool: str) -> None:
        """Forget a pool that is gone."""
        self._by_pool.pop(pool, None)
        self._counts.pop(pool, None)

    def claimed(self, pool: str, node: Node, batch: int, missed: Reason | None, now: datetime) -> None:
        """Note a claim by a cluster of `batch` nodes; `missed`: why it had to wait, None when it did not.

        A node that was parked for its warehouse is no demand for warm ones.
        """
        counts = self._counts[pool]
        if missed is None:
            counts.hits += 1
        else:
            counts.misses[missed] += 1
            metrics.MISSES.labels(pool, missed.value).inc()
        metrics.CLAIMS.labels(pool, "hit" if missed is None else "miss").inc()
        known = self._by_pool.get(pool)
        if known is not None and node.parked_at is None:
            self._by_pool[pool] = claimed(known, batch, now)

    def node_changed(self, before: object | None, after: object | None, now: datetime) -> None:
        """Measure a boot that has just ended."""
        if not isinstance(before, Node) or not isinstance(after, Node) or before.ready or not after.ready:
            return
        known = self._by_pool.get(after.pool)
        if known is not None and after.is_warm and before.uid == after.uid:
            self._by_pool[after.pool] = booted(known, max(now - after.boots_since, timedelta(0)))

    def counted(self, pool: Pool, now: datetime) -> tuple[PoolStatus, Counts]:
        """Return the status with all that was counted, and what that is: `written` takes it back."""
        counts, status, demand = self._counts[pool.name], pool.status, self.of(pool, now)
        new = Counts(counts.hits, Counter(counts.misses))
        hits, misses = status.hits + new.hits, status.misses + new.misses.total()
        by_reason = Counter(status.misses_by_reason)
        by_reason.update({reason.value: count for reason, count in new.misses.items()})
        news = new.claims or status.demand is None or status.demand.hour != demand.hour
        update = {
            "hits": hits,
            "misses": misses,
            "hit_rate": f"{100 * hits / (hits + misses):.1f}" if hits + misses else None,
            "misses_by_reason": dict(by_reason),
            "demand": demand_status(demand, now) if news else status.demand,
        }
        return status.model_copy(update=update), new

    def written(self, pool: str, new: Counts) -> None:
        """Forget what a status tells of now."""
        counts = self._counts[pool]
        counts.hits -= new.hits
        counts.misses.subtract(new.misses)
