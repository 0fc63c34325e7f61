"""What a statement will need, learnt from earlier runs of its shape.

Source: design.md "The services" (memory and DOP are estimated before scheduling) and the seed article, "Primer on job
scheduling in virtual warehouses". A shape is a statement without its literals (sql/fingerprint.py). Means are
exponentially weighted, so that they follow the data; memory is estimated two mean deviations above its mean, so that it
is seldom too low. An unknown statement that reads tables counts as a whole one of its cluster, with the size of its
files as its memory, as far as that is its share: safe for the cluster, and corrected by its first run.
"""

import math
from dataclasses import dataclass

from firn_services.decide.need import ANY_DOP, Need

NEWEST_WEIGHT = 0.2
DEVIATIONS = 2.0
SECONDS_A_PROCESS = 0.1
"""CPU seconds that make one more process worth its start."""
LONG_CPU_SECONDS = 1.0
"""A statement of so many CPU seconds takes whatever is free."""
LOWEST_SHARE = 4
"""A statement starts with a quarter of the processes that it wants, not with fewer."""
SCAN_BYTES_A_SECOND = 100e6
"""What one process scans in a second, until it is known better."""
STEPS_AN_OCTAVE = 4
MIN_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Used:
    """What one run used. `memory_bytes` 0: not measured."""

    memory_bytes: int
    spilled_bytes: int
    cpu_seconds: float
    run_seconds: float
    scanned_bytes: int


@dataclass(frozen=True, slots=True)
class Learnt:
    """What is known of a shape: weighted means of what its runs used, and how much memory differs between them."""

    samples: int
    memory_bytes: float
    memory_spread: float
    cpu_seconds: float
    run_seconds: float
    scanned_bytes: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the next run will use. `cpu_seconds` None: unknown. Memory None: its files, as far as its share goes."""

    memory_bytes: int | None
    cpu_seconds: float | None
    run_seconds: float
    scanned_bytes: int


def learn(before: Learnt | None, used: Used) -> Learnt:
    """Return what is known after one more run."""
    memory = float(used.memory_bytes + used.spilled_bytes)
    if before is None:
        return Learnt(1, memory, memory / 2, used.cpu_seconds, used.run_seconds, float(used.scanned_bytes))
    weight = max(1 / (before.samples + 1), NEWEST_WEIGHT)

    def towards(mean: float, value: float) -> float:
        return mean + weight * (value - mean)

    return Learnt(
        before.samples + 1,
        towards(before.memory_bytes, memory),
        towards(before.memory_spread, abs(memory - before.memory_bytes)),
        towards(before.cpu_seconds, used.cpu_seconds),
        towards(before.run_seconds, used.run_seconds),
        towards(before.scanned_bytes, float(used.scanned_bytes)),
    )


def estimate(learnt: Learnt | None, file_bytes: int) -> Estimate:
    """Return what the next run will use; `file_bytes` is the size of all files that it may read."""
    if learnt is None:
        return Estimate(None, None if file_bytes else 0.0, file_bytes / SCAN_BYTES_A_SECOND, file_bytes)
    memory = learnt.memory_bytes + DEVIATIONS * learnt.memory_spread
    return Estimate(
        memory_bytes=math.ceil(memory) if memory > 0 else None,
        cpu_seconds=learnt.cpu_seconds,
        run_seconds=learnt.run_seconds,
        scanned_bytes=round(learnt.scanned_bytes),
    )


def need(found: Estimate, most_dop: int, share_bytes: int) -> Need:
    """Return what the schedule sets aside on clusters of `most_dop` processes.

    `share_bytes` is a whole statement's share of their memory. Memory and DOP are rounded up to few values, so that
    many statements have the same need.
    """
    memory = found.memory_bytes if found.memory_bytes is not None else min(found.scanned_bytes, share_bytes)
    dop = most_dop if found.cpu_seconds is None else _power(math.ceil(found.cpu_seconds / SECONDS_A_PROCESS))
    dop = max(1, min(dop, most_dop))
    is_long = found.cpu_seconds is None or found.cpu_seconds >= LONG_CPU_SECONDS
    return Need(
        memory_bytes=rounded_up(memory),
        dop=dop,
        lowest_dop=max(1, dop // LOWEST_SHARE),
        highest_dop=ANY_DOP if is_long else dop,
    )


def rounded_up(count: int) -> int:
    """Return the next of four values in each octave, or 0: 1 MiB, 1.25 MiB, 1.5 MiB, …."""
    if count <= 0:
        return 0
    octave = max(1 << (count.bit_length() - 1), MIN_BYTES)
    step = octave // STEPS_AN_OCTAVE
    return max(-(-count // step) * step, MIN_BYTES)


def _power(count: int) -> int:
    """Return the next power of two."""
    return 1 << max(count - 1, 0).bit_length()
