"""A picture of how long each step of a statement took. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

WIDTH = 44


def timeline(begin: datetime, steps: Sequence[tuple[str, datetime]]) -> list[str]:
    """Return a line for each step: its name, what it took since the one before, and a bar at its place in the whole.

    The first step is counted from ``begin``. The last line is the sum.
    """
    if not steps:
        return []
    ordered = sorted(steps, key=lambda step: step[1])
    whole = max((ordered[-1][1] - begin).total_seconds(), 1e-9)
    size = max(len("total"), *(len(name) for name, _ in ordered))
    lines = []
    before = begin
    for name, at in ordered:
        took = (at - before).total_seconds()
        lines.append(f"{name:<{size}}  {took * 1000:8.1f} ms  {_bar((before - begin).total_seconds(), took, whole)}")
        before = at
    lines.append(f"{'total':<{size}}  {whole * 1000:8.1f} ms")
    return lines


def _bar(start: float, took: float, whole: float) -> str:
    """Return a bar of WIDTH characters at most, never invisible."""
    left = min(round(max(start, 0.0) / whole * WIDTH), WIDTH - 1)
    right = round((start + took) / whole * WIDTH)
    return " " * left + ("█" * (right - left) if right > left else "▏")
