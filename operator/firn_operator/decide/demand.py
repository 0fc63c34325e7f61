"""How many warm nodes a pool needs so that a chosen share of its claims finds one, with the least idle.

A pool replaces each claimed node at once, so it is a base stock: a claim finds a node if fewer than the target were
claimed during the time that it takes to replace one. For claims that come at random that number is Poisson, whatever
the boot times are distributed like (Palm), with mean rate x replacement time; clusters of several nodes claim in
batches, which makes it wider (a negative binomial of the same mean and of variance = mean x batch). The least target
that meets the share is a quantile of it.

The rate is the highest of three: what came in the last minute, in the last ten, and what usually comes at this hour of
the week. The last is learnt: each past hour's claims are smoothed over the weeks. All of it lives in the pool's status.

Source: issue of elasticity, "The pool": warm target from the arrival rate and the measured refill time so that a hit
rate of 99 % is met with the least idle; forecast by hour of week from its own history.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

FAST, SLOW = timedelta(minutes=1), timedelta(minutes=10)
"""The memories of the recent rates: what is older counts for less than 1 ÷ e."""
HOURS_A_WEEK = 168
HOUR = timedelta(hours=1)
WEEK_WEIGHT = 0.3
"""What the latest week counts for in the usual number of an hour."""
AHEAD = timedelta(minutes=5)
"""How long before an hour begins its usual claims are prepared for, at least."""
LATE = timedelta(minutes=2)
"""How late the count of an hour may begin."""
BATCH_WEIGHT = 0.05
BOOT_WEIGHT = 0.1
UNKNOWN_BOOT = timedelta(seconds=10)
"""What a boot is thought to take before one was measured."""
NEGLIGIBLE = 1e-4
"""Expected claims during a replacement below which no node waits: about one a day for a boot of ten seconds."""

Week = tuple[float | None, ...]
NO_WEEK: Week = (None,) * HOURS_A_WEEK


@dataclass(frozen=True, slots=True)
class Demand:
    """What is known of a pool's claims. Rates are nodes a second, as of `at`."""

    fast: float = 0.0
    slow: float = 0.0
    at: datetime | None = None
    batch: float = 1.0
    """Nodes that are claimed together, averaged over nodes: E[b^2] ÷ E[b]."""
    boot: timedelta | None = None
    """What a boot takes, smoothed; None: not measured yet."""
    week: Week = NO_WEEK
    """The usual number of claims by hour of the week (Monday 00:00 UTC first); None: not known yet."""
    hour: datetime | None = None
    """Since when the present hour's claims are counted."""
    claims_before: int | None = None
    """The pool's claims of all time when that hour began; None when it is not counted from its beginning."""


def claimed(demand: Demand, batch: int, now: datetime) -> Demand:
    """Return the demand with one more node claimed, by a cluster of `batch` nodes."""
    faded = fade(demand, now)
    return replace(
        faded,
        fast=faded.fast + 1 / FAST.total_seconds(),
        slow=faded.slow + 1 / SLOW.total_seconds(),
        batch=faded.batch + BATCH_WEIGHT * (batch - faded.batch),
    )


def fade(demand: Demand, now: datetime) -> Demand:
    """Return the demand with its recent rates as of now."""
    past = max(0.0, (now - demand.at).total_seconds()) if demand.at else 0.0
    kept_fast, kept_slow = (math.exp(-past / memory.total_seconds()) for memory in (FAST, SLOW))
    return replace(demand, fast=demand.fast * kept_fast, slow=demand.slow * kept_slow, at=now)


def booted(demand: Demand, took: timedelta) -> Demand:
    """Return the demand with one more boot measured."""
    return replace(demand, boot=took if demand.boot is None else demand.boot + BOOT_WEIGHT * (took - demand.boot))


def hour_of_week(moment: datetime) -> int:
    """Return 0 for the hour that begins on Monday at 00:00 UTC."""
    return moment.weekday() * 24 + moment.hour


def roll(demand: Demand, claims: int, now: datetime) -> Demand:
    """Return the demand with the past hour's claims learnt, when one is past; `claims` are those of all time.

    An hour that was not counted from its beginning teaches nothing.
    """
    begins = now.replace(minute=0, second=0, microsecond=0)
    if demand.hour == begins:
        return demand
    week = demand.week
    if demand.hour is not None and demand.claims_before is not None and begins - demand.hour == HOUR:
        place, count = hour_of_week(demand.hour), float(claims - demand.claims_before)
        usual = week[place]
        learnt = count if usual is None else usual + WEEK_WEIGHT * (count - usual)
        week = (*week[:place], round(learnt, 1), *week[place + 1 :])
    return replace(demand, week=week, hour=begins, claims_before=claims if now - begins < LATE else None)


def rate(demand: Demand, now: datetime) -> float:
    """Return the nodes a second to be prepared for."""
    faded = fade(demand, now)
    usual = [demand.week[hour_of_week(moment)] or 0.0 for moment in (now, now + AHEAD)]
    return max(faded.fast, faded.slow, *(claims / HOUR.total_seconds() for claims in usual))


def replacement_seconds(demand: Demand, per_second: float, pause: timedelta, most_booting: int) -> float:
    """Return how long it takes until a claimed node is replaced; infinite when the pool cannot keep up.

    No more than `most_booting` boot at the same time; the wait for that is Sakasegawa's for as many servers.
    """
    boot = (demand.boot or UNKNOWN_BOOT).total_seconds()
    busy = per_second * boot / most_booting
    if busy >= 1:
        return math.inf
    queued = boot * math.pow(busy, math.sqrt(2 * (most_booting + 1)) - 1) / (most_booting * (1 - busy))
    return pause.total_seconds() + boot + queued


def stock(mean: float, batch: float, hit_rate: float, most: int) -> int:
    """Return the least number of nodes, up to `most`, that so large a share of the claims finds not exhausted.

    `mean` and `batch` are of what is claimed during a replacement. Of its own batch half comes before a claim.
    """
    if mean < NEGLIGIBLE:
        return 0
    if math.isinf(mean):
        return most
    wide = batch > 1 + 1e-6
    size = mean / (batch - 1) if wide else 0.0
    log_share = -size * math.log(batch) if wide else -mean
    total, needed = math.exp(log_share), 1
    while total < hit_rate and needed < most:
        grown = (size + needed - 1) / needed * (1 - 1 / batch) if wide else mean / needed
        log_share += math.log(grown)
        total += math.exp(log_share)
        needed += 1
    return min(needed + math.ceil((batch - 1) / 2 - 1e-6), most)


def target(demand: Demand, hit_rate: float, pause: timedelta, most_booting: int, most: int, now: datetime) -> int:
    """Return the least number of warm nodes, up to `most`, with which that share of the claims finds one."""
    per_second = rate(demand, now)
    seconds = replacement_seconds(demand, per_second, pause, most_booting)
    return stock(per_second * seconds if per_second else 0.0, demand.batch, hit_rate, most)


def next_hour(now: datetime) -> datetime:
    """Return when the next hour begins."""
    return now.replace(minute=0, second=0, microsecond=0) + HOUR


def next_look(demand: Demand, now: datetime) -> datetime:
    """Return when the clock alone may change what is to be prepared for."""
    begins = next_hour(now)
    fading = now + FAST / 4 if rate(demand, now) * SLOW.total_seconds() > NEGLIGIBLE else begins
    return min(fading, *(moment for moment in (begins - AHEAD, begins) if moment > now))


def week_text(week: Week) -> str:
    """Return a week as short text: numbers with commas, nothing for what is not known, none at the end."""
    return ",".join("" if claims is None else f"{claims:.1f}".removesuffix(".0") for claims in week).rstrip(",")


def week_of(text: str) -> Week:
    """Return the week of such a text; what cannot be read is not known."""
    parts: Sequence[str] = text.split(",")[:HOURS_A_WEEK] if text else ()
    return (*(_number(part) for part in parts), *NO_WEEK[len(parts) :])


def _number(part: str) -> float | None:
    try:
        number = float(part)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
