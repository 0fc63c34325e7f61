"""The Cloud Analytics Benchmark's arrivals (van Renen and Leis, VLDB 2023), after its generator.

The distributions are the published generator's. Its random numbers are not, so a stream resembles the published
ones and is none of them.
"""

import math
from collections.abc import Callable, Iterator
from random import Random
from statistics import NormalDist

from firn_simulator.streams.arrival import Arriving, generator, merged
from firn_simulator.workload import CabStream

SLOTS = 100
CORES_OF_COST = 8
COST_US = (
    149560, 55150, 112050, 58190, 66190, 17490, 61090, 67480, 127850, 95110, 15720, 64200, 146020, 29000, 46390, 32790,
    42430, 205680, 51580, 46310, 113140, 19820, 170310,
)  # fmt: skip
"""Cost of queries 1 to 22 of TPC-H and of one write, in µs on eight cores at scale factor 1."""
SIZE_LOG_MEAN, SIZE_LOG_DEVIATION = 24.66794, 2.575434
CPU_OF_BUCKET = {
    9: (19.81281, 2.847744),
    10: (21.51081, 2.949972),
    11: (22.30084, 3.469075),
    12: (23.72666, 3.349028),
    13: (24.03537, 3.401711),
    14: (24.32934, 4.289488),
}
"""Mean and deviation of the logarithm of a database's CPU µs, by the power of ten of its bytes."""

Slots = list[float]


def cab(stream: CabStream, warehouses: list[str], duration: float, seed: str) -> Iterator[Arriving]:
    """Yield the arrivals of all databases."""
    factors = scale_factors(stream.databases, stream.total_gb)
    random = generator(seed, "cpu")
    weights = [_cpu_weight(factor, random) for factor in factors]
    total = sum(weights)
    cpu = [stream.cpu_hours * 3600 * w / total for w in weights]
    return merged(
        [
            _database(factor, cpu[i], warehouses[i % len(warehouses)], duration, generator(seed, i))
            for i, factor in enumerate(factors)
        ]
    )


def scale_factors(databases: int, total_gb: float) -> list[int]:
    """Return each database's scale factor: quantiles of a log-normal whose sum is within 5 % below the total."""
    quantiles = [NormalDist().inv_cdf((i + 1) / (databases + 1)) for i in range(databases)]
    scale, step, grew = 1.0, 0.05, None
    while True:
        sizes = (math.exp(scale * (SIZE_LOG_MEAN + SIZE_LOG_DEVIATION * q)) for q in quantiles)
        factors = [max(1, round(size / 1e9)) for size in sizes]
        grow = sum(factors) < 0.95 * total_gb
        if (not grow and sum(factors) <= total_gb) or step < 1e-6:
            return factors
        if grew is not None and grow != grew:
            step /= 2  # the published generator's fixed step may jump over the window for ever
        scale, grew = scale * (1 + step if grow else 1 - step), grow


def _cpu_weight(factor: int, random: Random) -> float:
    bucket = min(max(round(math.log10(factor * 1e9)), 9), 14)
    mean, deviation = CPU_OF_BUCKET[bucket]
    while True:
        drawn = random.gauss(mean, deviation)
        if abs(drawn - mean) <= 2 * deviation:
            return math.exp(drawn)


def _database(factor: int, cpu_seconds: float, warehouse: str, duration: float, random: Random) -> Iterator[Arriving]:
    costs = [cost * CORES_OF_COST * factor / 1e6 for cost in COST_US]
    slots = pattern(random)
    total, width = sum(slots), duration / SLOTS
    mean_cost = sum(costs) / len(costs)
    for number, share in enumerate(slots):
        wanted = cpu_seconds * share / total
        if wanted <= 0:
            continue
        rate = max(1.0, wanted // mean_cost) / width
        offset, given, found = 0.0, 0.0, []
        while given < wanted:
            offset = (offset + random.expovariate(rate)) % width
            cost = random.choice(costs)
            given += cost
            found.append((number * width + offset, cost))
        for at, cost in sorted(found):
            yield Arriving(at, warehouse, cost)


def pattern(random: Random) -> Slots:
    """Return one of the five patterns, by their weights: shares of a database's CPU over the slots."""
    while True:
        slots = [0.0] * SLOTS
        random.choices([make for make, _ in PATTERNS], [weight for _, weight in PATTERNS])[0](slots, random)
        if sum(slots) > 0:
            return slots


def _noise(slots: Slots, random: Random) -> None:
    for i in range(SLOTS):
        slots[i] = 0.2 + random.random()
    for _ in range(8):
        _half_sine(slots, 0.5, 0.6 * random.random() - 0.3, 0.05 + random.random() * 0.05)
    likelihood = 0.1 * random.random()
    for i in range(SLOTS):
        if random.random() <= likelihood:
            slots[i] += random.random()


def _half_sine(slots: Slots, height: float, start: float, width: float) -> None:
    a, b = math.pi / (SLOTS * width), math.pi * (start + 0.5 * (1 - width)) / width
    for i in range(SLOTS):
        x = i * a - b
        if 0 < x < math.pi:
            slots[i] += math.sin(x) * height


def _walk(slots: Slots, random: Random, start: float, length: float) -> None:
    state, first = random.random(), int(start * SLOTS)
    for position in range(first, first + int(length * SLOTS)):
        state += 0.1 if random.random() >= 0.5 else -0.1
        i = position % SLOTS
        slots[i] = min(max(slots[i] + state, 0.0), 1.0)


def _spikes(slots: Slots, random: Random) -> None:
    for _ in range(round(random.expovariate(0.5) * 2 + 1)):
        _walk(slots, random, 0.1 + random.random() * 0.8, 0.1 * random.random())


def _burst(slots: Slots, random: Random) -> None:
    _walk(slots, random, 0.1 + random.random() * 0.8, 0.15 + 0.1 * random.random())


def _block(slots: Slots, height: float, start: float, length: float) -> None:
    first = int(start * SLOTS)
    for position in range(first, first + int(length * SLOTS)):
        i = position % SLOTS
        slots[i] = max(slots[i] + height, 0.0)


def _constant(slots: Slots, random: Random) -> None:
    _block(slots, 4.0, 0.0, 1.0)
    for height in (6.0, 6.0, 6.0, -100.0):
        if random.random() < 0.5:
            _block(slots, height, random.random(), 0.05 + 0.15 * random.random())


def _on_off(slots: Slots, random: Random) -> None:
    level = int(random.random() * 2)
    _block(slots, 2.0 * level, 0.0, 1.0)
    noisy = random.random() < 0.5 and level > 0
    height = (2.0 if noisy else 1.0) + 5.0 * random.random()
    width, length = SLOTS / 24, 0.4 + random.random() * 0.2
    for spike in range(24):
        first = int(spike * width)
        share = random.random() if noisy else 1.0
        for position in range(first, int(first + width * length)):
            slots[position % SLOTS] += height * share


PATTERNS: tuple[tuple[Callable[[Slots, Random], None], float], ...] = (
    (_noise, 10.0),
    (_spikes, 17.0),
    (_burst, 21.0),
    (_constant, 12.0),
    (_on_off, 20.0),
)
"""The patterns and their weights."""
