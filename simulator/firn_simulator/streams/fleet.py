"""Statements as fleets see them: latencies of Redshift's fleet, rates by hour of day, a few warehouses far busier.

Source: published figures of Redshift's fleet (query latency by class) and of machine demand (hour-of-day swing).
"""

import math
from bisect import bisect
from collections.abc import Iterator
from itertools import accumulate
from random import Random

from firn_simulator.streams.arrival import Arriving, generator, merged
from firn_simulator.workload import FleetStream

LATENCIES = (
    (0.001, 0.01, 13.7),
    (0.01, 0.1, 48.3),
    (0.1, 1.0, 24.9),
    (1.0, 10.0, 9.9),
    (10.0, 60.0, 2.2),
    (60.0, 600.0, 0.86),
    (600.0, 3600.0, 0.08),
)
"""Classes of latency: from, to (seconds), percent of the statements. Within a class, evenly over the logarithm."""
DAY = 86400.0
RATE_DEVIATION = 1.0
"""Deviation of the logarithm of a warehouse's rate: the busiest of a thousand has about twenty times the median."""
PHASE_DEVIATION_HOURS = 2.0
BUSIEST_HOUR = 14.0


def fleet(stream: FleetStream, warehouses: list[str], duration: float, seed: str) -> Iterator[Arriving]:
    """Yield the arrivals of all warehouses."""
    random = generator(seed, "rates")
    weights = [math.exp(random.gauss(0.0, RATE_DEVIATION)) for _ in warehouses]
    peaks = [random.gauss(BUSIEST_HOUR, PHASE_DEVIATION_HOURS) for _ in warehouses]
    depth = min(stream.swing - 1.0, 1.0)
    expected = [weight * _area(depth, peak, duration) for weight, peak in zip(weights, peaks, strict=True)]
    scale = stream.statements / sum(expected)
    return merged(
        [
            _one(name, weight * scale, depth, peak, duration, generator(seed, name))
            for name, weight, peak in zip(warehouses, weights, peaks, strict=True)
        ]
    )


def _area(depth: float, peak: float, duration: float) -> float:
    """Return the integral of the rate over its mean of a day, a cosine of the hour, in seconds."""
    turn, phase = 2 * math.pi / DAY, 2 * math.pi * peak / 24
    return duration + depth / turn * (math.sin(turn * duration - phase) + math.sin(phase))


def _one(warehouse: str, rate: float, depth: float, peak: float, duration: float, random: Random) -> Iterator[Arriving]:
    """Yield one warehouse's: at random by thinning, `rate` a second in the mean of a day."""
    shares = list(accumulate(share for *_, share in LATENCIES))
    at, most, turn, noon, cos = 0.0, 1.0 + depth, 2 * math.pi, peak / 24, math.cos
    while True:
        at += random.expovariate(rate * most)
        if at >= duration:
            return
        if random.random() * most <= 1.0 + depth * cos(turn * (at / DAY - noon)):
            low, high, _ = LATENCIES[bisect(shares, random.random() * shares[-1], hi=len(shares) - 1)]
            yield Arriving(at, warehouse, _latency(low, high, random), dop=1 if high <= 1.0 else None)


def _latency(low: float, high: float, random: Random) -> float:
    return low * math.exp(math.log(high / low) * random.random())
