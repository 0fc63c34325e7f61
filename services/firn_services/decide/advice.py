"""What would make a warehouse cheaper or faster, each with the figures that it rests on.

Source: seed article. "Warehouse load & Warehouse utilization": the postulates; utilisation below 50 % is low, above
75 % high. "Memory spilling": remote spill over 5 times the bytes scanned. "Scaling up vs scaling out": AVG_QUEUED_LOAD
above 0. "Scale-to-zero timeouts": auto-suspend of an hour is egregious; at once for loading, ~5 minutes for ad-hoc use,
~10 minutes for BI; a low share from caches. Where the article gives no number, the one here says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from firn_model.sizes import MAX_CLUSTERS, SIZES, SMALLEST_SNOWPARK_OPTIMIZED, WarehouseType
from firn_model.warehouses import WarehouseSpec

from firn_services.decide.load_history import Interval

LOW_UTILIZATION, HIGH_UTILIZATION = 0.5, 0.75
SPILL_RATIO = 5
LONG_SUSPEND_SECONDS = 3600
LOW_LOAD = 1.0
PROLONGED = 0.8
"""Share of the time that it ran for which something holds "for prolonged periods"; the article gives no number."""
LOW_CACHE_SHARE = 0.5
"""The article says "a low percentage"; where less than half comes from caches it is called low here."""
HIGHER_THAN_NORMAL = 2.0
"""Times the mean of the days before: "considerably higher than normal"; the article gives no number."""
SPIKE_DAYS = 2
"""Days on which the same hour must be busy to be "recurring"; no number in the article."""
FEWEST_INTERVALS = 12
"""Of 5 minutes: a warehouse that ran for less than an hour is not judged by its load."""
FEWEST_STATEMENTS = 20
"""Fewer statements tell no kind of use."""
DAY = timedelta(days=1)
_SMALLEST_SNOWPARK = SIZES.index(SMALLEST_SNOWPARK_OPTIMIZED)


class Use(StrEnum):
    """What a warehouse is used for, and with it how long it is best kept running when idle."""

    LOADING = "loading"
    BI = "BI"
    AD_HOC = "ad hoc"


SUSPEND_SECONDS = {Use.LOADING: 1, Use.AD_HOC: 300, Use.BI: 600}
"""At once (the shortest that is not never), about 5 minutes, about 10 minutes."""


class Rule(StrEnum):
    """Which rule of the article an advice follows."""

    REMOTE_SPILL = "RemoteSpill"
    QUEUED_LOAD = "QueuedLoad"
    LOW_UTILIZATION = "LowUtilization"
    LOW_LOAD = "LowLoad"
    HIGH_UTILIZATION = "HighUtilization"
    RECURRING_SPIKES = "RecurringSpikes"
    HIGHER_LOAD = "HigherLoad"
    LONG_AUTO_SUSPEND = "LongAutoSuspend"
    SUSPEND_FOR_USE = "SuspendForUse"
    LOW_CACHE_SHARE = "LowCacheShare"
    NO_AUTO_RESUME = "NoAutoResume"


@dataclass(frozen=True, slots=True)
class Work:
    """What the statements of a time did."""

    statements: int = 0
    writes: int = 0
    shapes: int = 0
    """Statements that differ in more than their literals."""
    scanned_bytes: int = 0
    cached_bytes: int = 0
    spilling: int = 0
    """Statements that spilled more than SPILL_RATIO times what they scanned to the object store."""
    spilled_remote_bytes: int = 0
    spilled_local_bytes: int = 0
    worst_spill_ratio: float = 0.0

    @property
    def cache_share(self) -> float | None:
        """Return the share of the scanned bytes that came from caches; None when nothing was scanned."""
        return self.cached_bytes / self.scanned_bytes if self.scanned_bytes else None

    @property
    def use(self) -> Use | None:
        """Return the kind of use; None while there are too few statements to tell.

        Mostly writes: loading. Mostly statements that were run before: BI. Else ad hoc.
        """
        if self.statements < FEWEST_STATEMENTS:
            return None
        if self.writes * 2 > self.statements:
            return Use.LOADING
        return Use.BI if self.shapes * 2 <= self.statements else Use.AD_HOC


@dataclass(frozen=True, slots=True)
class Observed:
    """A warehouse's options, its statements and its load in intervals of 5 minutes, the oldest first."""

    spec: WarehouseSpec
    work: Work
    load: Sequence[Interval]

    @property
    def ran(self) -> list[Interval]:
        """Return the intervals in which it ran."""
        return [one for one in self.load if one.utilization is not None]


@dataclass(frozen=True, slots=True)
class Advice:
    """One advice: what and why in words, what it rests on, and options of ALTER WAREHOUSE … SET that follow it."""

    rule: Rule
    words: str
    figures: dict[str, float] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)


def decide(observed: Observed, now: datetime) -> list[Advice]:
    """Return what to consider, the costliest mistakes first."""
    found = [
        _auto_suspend(observed),
        _auto_resume(observed),
        _remote_spill(observed),
        _queued_load(observed),
        _low(observed),
        _high_utilization(observed),
        _spikes(observed),
        _higher_load(observed, now),
        _cache(observed),
    ]
    return [one for one in found if one is not None]


def _auto_suspend(observed: Observed) -> Advice | None:
    seconds, use = observed.spec.auto_suspend_seconds, observed.work.use
    best = SUSPEND_SECONDS[use] if use is not None else SUSPEND_SECONDS[Use.BI]
    options = {"AUTO_SUSPEND": str(best)}
    if seconds == 0:
        words = "It never suspends by itself: enable auto-suspend, so that it costs nothing while nobody uses it."
        return Advice(Rule.LONG_AUTO_SUSPEND, words, {"auto_suspend_seconds": 0}, options)
    if seconds >= LONG_SUSPEND_SECONDS:
        words = "It is kept running for an hour or more after its last statement: suspend it earlier."
        return Advice(Rule.LONG_AUTO_SUSPEND, words, {"auto_suspend_seconds": seconds}, options)
    if use is None or seconds <= best:
        return None
    figures = _use_figures(observed.work) | {"auto_suspend_seconds": seconds}
    words = f"Its statements look like {use.value} use, for which {_after(best)} is likely the best."
    return Advice(Rule.SUSPEND_FOR_USE, words, figures, options)


def _after(seconds: int) -> str:
    return "suspending at once" if seconds < 60 else f"suspending after about {seconds // 60} minutes"


def _use_figures(work: Work) -> dict[str, float]:
    return {"statements": work.statements, "writes": work.writes, "different_statements": work.shapes}


def _auto_resume(observed: Observed) -> Advice | None:
    if observed.spec.auto_resume:
        return None
    words = "Statements do not resume it: while it is suspended they fail."
    return Advice(Rule.NO_AUTO_RESUME, words, {}, {"AUTO_RESUME": "TRUE"})


def _remote_spill(observed: Observed) -> Advice | None:
    work, spec = observed.work, observed.spec
    if not work.spilling:
        return None
    words = "Statements spilled more than 5 times what they read to the object store: they need more memory."
    options: dict[str, str] = {}
    if spec.type is WarehouseType.STANDARD and SIZES.index(spec.size) >= _SMALLEST_SNOWPARK:
        options = {"WAREHOUSE_TYPE": "'SNOWPARK-OPTIMIZED'"}
        words += " A Snowpark-optimized warehouse of the same size has 16 times the memory."
    elif (larger := _size(spec, 1)) is not None:
        options = {"WAREHOUSE_SIZE": larger}
    figures = {
        "statements": work.spilling,
        "bytes_spilled_remote": work.spilled_remote_bytes,
        "bytes_spilled_local": work.spilled_local_bytes,
        "worst_ratio": work.worst_spill_ratio,
    }
    return Advice(Rule.REMOTE_SPILL, words, figures, options)


def _queued_load(observed: Observed) -> Advice | None:
    queued = [one for one in observed.load if one.queued_load > 0]
    if not queued:
        return None
    spec = observed.spec
    words = "Statements waited for room on its clusters: more clusters could have run them."
    most = min(2 * spec.max_cluster_count, MAX_CLUSTERS[spec.size])
    options = {"MAX_CLUSTER_COUNT": str(most)} if most > spec.max_cluster_count else {}
    figures = {
        "sum_avg_queued_load": sum(one.queued_load for one in queued),
        "intervals": len(queued),
        "worst_avg_queued_load": max(one.queued_load for one in queued),
        "max_cluster_count": spec.max_cluster_count,
    }
    return Advice(Rule.QUEUED_LOAD, words, figures, options)


def _low(observed: Observed) -> Advice | None:
    """Judge low use: the first postulate where utilisation is low, else the last one."""
    ran = observed.ran
    if len(ran) < FEWEST_INTERVALS or observed.work.spilling:
        return None
    small = sum(_total(one) < LOW_LOAD for one in ran) / len(ran)
    utilization, queued = _utilization(ran), _mean([one.queued_load for one in ran])
    figures = {"utilization": utilization, "share_of_load_below_1": small, "avg_queued_load": queued}
    figures["hours_run"] = len(ran) / 12
    options = _fewer(observed.spec)
    if not options or (small < PROLONGED and (queued > 0 or utilization >= LOW_UTILIZATION)):
        return None
    if utilization < LOW_UTILIZATION:
        words = "Less than half of it was in use while little waited: a smaller size or fewer clusters would do."
        return Advice(Rule.LOW_UTILIZATION, words, figures, options)
    words = "Fewer than one statement ran or waited on average for most of the time that it ran: it can be smaller."
    return Advice(Rule.LOW_LOAD, words, figures, options)


def _high_utilization(observed: Observed) -> Advice | None:
    ran = observed.ran
    if len(ran) < FEWEST_INTERVALS:
        return None
    running, utilization = _mean([one.running for one in ran]), _utilization(ran)
    if running > LOW_LOAD or utilization <= HIGH_UTILIZATION:
        return None
    words = "Few statements keep it busy. If they are slower than you want, a larger size makes each faster."
    larger = _size(observed.spec, 1)
    figures = {"avg_running": running, "utilization": utilization}
    return Advice(Rule.HIGH_UTILIZATION, words, figures, {"WAREHOUSE_SIZE": larger} if larger else {})


def _spikes(observed: Observed) -> Advice | None:
    """Find hours of the day that are busy on several days while it is usually not."""
    ran = observed.ran
    if len(ran) < FEWEST_INTERVALS or _utilization(ran) >= LOW_UTILIZATION:
        return None
    days: dict[int, set[str]] = {}
    for one in ran:
        if (one.utilization or 0.0) > HIGH_UTILIZATION:
            days.setdefault(one.start.hour, set()).add(f"{one.start:%Y-%m-%d}")
    hour, on = max(days.items(), key=lambda item: (len(item[1]), -item[0]), default=(0, set[str]()))
    if len(on) < SPIKE_DAYS:
        return None
    words = f"It is busy around {hour:02d}:00 UTC on several days and else not: give what runs then its own warehouse."
    return Advice(Rule.RECURRING_SPIKES, words, {"hour_utc": hour, "days": len(on), "utilization": _utilization(ran)})


def _higher_load(observed: Observed, now: datetime) -> Advice | None:
    last = [_total(one) for one in observed.load if one.start >= now - DAY]
    before = [_total(one) for one in observed.load if one.start < now - DAY]
    if len(last) < FEWEST_INTERVALS or not any(before):
        return None
    today, normal = _mean(last), _mean(before)
    if today < HIGHER_THAN_NORMAL * normal:
        return None
    words = "The last day's load is much higher than normal: see which statements cause it (firn statement list)."
    return Advice(Rule.HIGHER_LOAD, words, {"avg_load_last_day": today, "avg_load_before": normal})


def _cache(observed: Observed) -> Advice | None:
    work, seconds = observed.work, observed.spec.auto_suspend_seconds
    share, best = work.cache_share, SUSPEND_SECONDS[Use.BI]
    if work.use is not Use.BI or share is None or share >= LOW_CACHE_SHARE or not 0 < seconds < best:
        return None
    words = "Little of what its recurring statements read comes from caches: it may be suspending too quickly."
    figures = {"cache_share": share, "bytes_scanned": work.scanned_bytes, "auto_suspend_seconds": seconds}
    return Advice(Rule.LOW_CACHE_SHARE, words, figures, {"AUTO_SUSPEND": str(best)})


def _fewer(spec: WarehouseSpec) -> dict[str, str]:
    """Return options that make it smaller: half of its clusters, else the next smaller size; none at its smallest."""
    if spec.min_cluster_count > 1:
        return {"MIN_CLUSTER_COUNT": str(spec.min_cluster_count // 2)}
    smaller = _size(spec, -1)
    return {"WAREHOUSE_SIZE": smaller} if smaller else {}


def _size(spec: WarehouseSpec, steps: int) -> str | None:
    """Return the size so many steps away that this type of warehouse has with its clusters; None when there is none."""
    at = SIZES.index(spec.size) + steps
    least = _SMALLEST_SNOWPARK if spec.type is WarehouseType.SNOWPARK_OPTIMIZED else 0
    if not least <= at < len(SIZES):
        return None
    return SIZES[at].value if spec.max_cluster_count <= MAX_CLUSTERS[SIZES[at]] else None


def _total(one: Interval) -> float:
    return one.running + one.queued_load + one.queued_provisioning + one.blocked


def _utilization(ran: Sequence[Interval]) -> float:
    return _mean([one.utilization or 0.0 for one in ran])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
