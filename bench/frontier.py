"""Queue time against credits on the Cloud Analytics Benchmark's shapes: which settings dominate.

For each size, policy and cluster range one simulated hour with the real decisions; beside them what published runs on
Snowflake measured. The comparison is indicative: the arrivals follow the benchmark's generator with other random
numbers, a statement's work is the benchmark's own estimate, and caches, spills and writes are not simulated.
The last line of standard output is one JSON object.
"""

import argparse
import html
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from firn_simulator.account import Account
from firn_simulator.summary import Summary, summarise
from firn_simulator.workload import Workload

QUICK = {"pacingSeconds": 1, "checkSeconds": 10, "scaleDownChecks": 2}
"""Intervals for clusters that start in tens of milliseconds."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One of the benchmark's two published sizes, and what Snowflake's runs of it measured."""

    name: str
    total_gb: float
    cpu_hours: float
    seed: int
    sizes: tuple[str, ...]
    published: tuple[tuple[str, float, float], ...]
    """Name, credits of the hour at list size, p99 of the queue time in seconds."""


SHAPES = (
    Shape(
        "1 TB",
        1000,
        10,
        13,
        ("S", "M", "L", "XL"),
        (("2 servers", 2, 2885), ("4 servers", 4, 217), ("8 servers", 8, 59), ("16 servers", 16, 88)),
    ),
    Shape(
        "4 TB",
        4000,
        40,
        12,
        ("M", "L", "XL", "2XL"),
        (("32 servers shared", 32, 3079), ("20 private, 38 servers", 38, 301)),
    ),
)


@dataclass(frozen=True, slots=True)
class Point:
    """One simulated setting."""

    name: str
    family: str
    summary: Summary

    @property
    def credits(self) -> float:
        """Credits of the run."""
        return float(self.summary.credits)

    def is_dominated_by(self, other: "Point") -> bool:
        """Whether the other is no worse in both and better in one."""
        mine, its = (self.credits, self.summary.queued.p99), (other.credits, other.summary.queued.p99)
        return its != mine and its[0] <= mine[0] and its[1] <= mine[1]


def settings(size: str) -> list[tuple[str, str, dict[str, object]]]:
    """Return the settings of one size: name, family, spec."""
    found: list[tuple[str, str, dict[str, object]]] = [(f"{size} 1-1", "one cluster", {"size": size})]
    for policy in ("Standard", "Economy"):
        for most in (2, 4, 8):
            spec: dict[str, object] = {"size": size, "maxClusterCount": most, "scalingPolicy": policy}
            found.append((f"{size} {policy} 1-{most}", policy, spec))
    for most in (4, 8):
        spec = {"size": size, "maxClusterCount": most, "scaling": QUICK, "autoSuspendSeconds": 30}
        found.append((f"{size} quick 1-{most}", "quick", spec))
    return found


def simulate(shape: Shape, spec: dict[str, object], seed: int) -> Summary:
    """Run one setting."""
    pool = {
        "node": {"cpu": "8", "memory": "16Gi"},
        "warm": {"min": 16, "max": 64},
        "refill": {"maxBooting": 16},
        "parked": {"maxNodes": 0},
    }
    content = {
        "seed": seed,
        "duration": 3600,
        "pools": [{"spec": pool}],
        "warehouses": [{"name": "shared", "spec": spec}],
        "streams": [{"kind": "cab", "totalGb": shape.total_gb, "cpuHours": shape.cpu_hours}],
    }
    return summarise(shape.name, Account(Workload.model_validate(content)).run())


def frontier(points: Sequence[Point]) -> list[Point]:
    """Return those that no other dominates, the cheapest first."""
    best = [p for p in points if not any(p.is_dominated_by(other) for other in points)]
    return sorted(best, key=lambda p: p.credits)


COLOURS = {"one cluster": "#57606a", "Standard": "#1f6feb", "Economy": "#9a6700", "quick": "#1a7f37"}
LEAST_POWER = -2
"""Of ten: waits below a hundredth of a second are drawn as that."""
LABEL_WIDTH, LABEL_HEIGHT = 100, 13
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 960, 420, 80, 60, 50


def draw(charts: Sequence[tuple[Shape, list[Point]]]) -> str:
    """Return the points of both shapes as SVG, both axes logarithmic."""
    total = HEIGHT * len(charts)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {total}" width="{WIDTH}" height="{total}" '
        'font-family="system-ui, sans-serif" font-size="11" fill="#24292f">',
        f'<rect width="{WIDTH}" height="{total}" fill="#ffffff"/>',
    ]
    for number, (shape, points) in enumerate(charts):
        parts += chart(shape, points, number * HEIGHT)
    return "\n".join([*parts, "</svg>", ""])


def chart(shape: Shape, points: list[Point], top: int) -> list[str]:
    """Return one shape's chart."""
    costs = [p.credits for p in points] + [c for _, c, _ in shape.published]
    waits = [max(p.summary.queued.p99, 0.01) for p in points] + [w for *_, w in shape.published]
    low_x, high_x = math.log10(min(costs)) - 0.1, math.log10(max(costs)) + 0.2
    low_y, high_y = math.log10(min(waits)) - 0.2, math.log10(max(waits)) + 0.2

    def place(credit: float, wait: float) -> tuple[float, float]:
        x = LEFT + (math.log10(credit) - low_x) / (high_x - low_x) * (WIDTH - LEFT - 30)
        share = (math.log10(max(wait, 0.01)) - low_y) / (high_y - low_y)
        return x, top + HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    parts = [f'<text x="{LEFT}" y="{top + 24}" font-weight="600">CAB {shape.name}: p99 of the queue time, s</text>']
    legend = " · ".join(f'<tspan fill="{c}">● {html.escape(n)}</tspan>' for n, c in COLOURS.items())
    parts.append(f'<text x="{LEFT}" y="{top + 42}">{legend} · <tspan fill="#d1242f">◆ published</tspan></text>')
    parts.append(f'<text x="{WIDTH - 30}" y="{top + HEIGHT - 14}" text-anchor="end">credits of the hour</text>')
    for power in range(LEAST_POWER, math.ceil(high_y) + 1):
        _, y = place(costs[0], 10.0**power)
        if top + TOP - 8 <= y <= top + HEIGHT - BOTTOM:
            parts.append(f'<line x1="{LEFT}" x2="{WIDTH - 30}" y1="{y:.0f}" y2="{y:.0f}" stroke="#d0d7de"/>')
            least = "≤ " if power == LEAST_POWER else ""
            parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.0f}" text-anchor="end">{least}{10.0**power:g}</text>')
    for credit in (1, 2, 4, 8, 16, 32, 64, 128):
        x, _ = place(credit, waits[0])
        if LEFT <= x <= WIDTH - 30:
            parts.append(f'<text x="{x:.0f}" y="{top + HEIGHT - 30}" text-anchor="middle">{credit}</text>')
    for point in points:
        x, y = place(point.credits, point.summary.queued.p99)
        colour = COLOURS[point.family]
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"><title>{point.name}</title></circle>')
    labels: list[tuple[float, float]] = []
    for point in frontier(points):
        x, y = place(point.credits, point.summary.queued.p99)
        while any(abs(x - other_x) < LABEL_WIDTH and abs(y - other_y) < LABEL_HEIGHT for other_x, other_y in labels):
            y -= LABEL_HEIGHT
        labels.append((x, y))
        parts.append(f'<text x="{x + 7:.1f}" y="{y + 4:.1f}" fill="{COLOURS[point.family]}">{point.name}</text>')
    for name, cost, wait in shape.published:
        x, y = place(cost, wait)
        parts.append(f'<path d="M{x:.1f} {y - 5:.1f} l5 5 -5 5 -5 -5z" fill="#d1242f"/>')
        parts.append(f'<text x="{x + 8:.1f}" y="{y + 4:.1f}" fill="#d1242f">{name}</text>')
    return parts


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, help="by default one with about as many statements as the published run")
    parser.add_argument("--picture", type=Path, help="draw the points as SVG")
    arguments = parser.parse_args()
    charts: list[tuple[Shape, list[Point]]] = []
    for shape in SHAPES:
        points = []
        for size in shape.sizes:
            for name, family, spec in settings(size):
                points.append(
                    Point(name, family, simulate(shape, spec, shape.seed if arguments.seed is None else arguments.seed))
                )
                sys.stderr.write(f"{shape.name} {name}\n")
        charts.append((shape, points))
        best = frontier(points)
        print(f"\nCAB {shape.name}, {points[0].summary.statements} statements: queue p50/p95/p99 in s, credits")
        for point in points:
            queued = point.summary.queued
            mark = "◆" if point in best else " "
            times = f"{queued.p50:8.2f} {queued.p95:8.2f} {queued.p99:8.2f}"
            print(f"{mark} {point.name:18} {times} {point.credits:8.2f} {point.summary.utilisation:5.0%}")
        for name, credit, wait in shape.published:
            print(f"  published {name}: p99 {wait} s, {credit} credits at least")
    if arguments.picture:
        arguments.picture.write_text(draw(charts), encoding="utf-8")
    print(json.dumps({shape.name: [p.name for p in frontier(points)] for shape, points in charts}), flush=True)


if __name__ == "__main__":
    main()
