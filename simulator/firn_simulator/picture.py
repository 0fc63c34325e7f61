"""Runs as a picture: queue time, clusters and credits over time, as plain SVG."""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

from firn_simulator.recorder import Recorder, Steps

BINS = 240
WIDTH, PANEL, LEFT, RIGHT, TOP, GAP = 960, 170, 70, 20, 56, 46
LEGEND_ROW = 18
COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#9a6700", "#8250df", "#0a7ea4", "#bf3989", "#57606a")

Line = list[float]


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart: a title and a line of BINS values for each run."""

    title: str
    unit: str
    lines: tuple[Line, ...]

    @property
    def most(self) -> float:
        """The value at the top of the axis: 1, 2 or 5 times a power of ten."""
        highest = max((max(line) for line in self.lines), default=0.0)
        if highest <= 0:
            return 1.0
        power = 10.0 ** math.floor(math.log10(highest))
        return next(step * power for step in (1, 2, 5, 10) if step * power >= highest * 0.999)


def svg(runs: Sequence[tuple[str, Recorder]]) -> str:
    """Return the picture of some runs of the same workload."""
    seconds = max((recorder.seconds for _, recorder in runs), default=1.0) or 1.0
    recorders = [recorder for _, recorder in runs]
    panels = (
        Panel(
            "Queue time, p95 of the statements that arrived then", "s", tuple(_queued(r, seconds) for r in recorders)
        ),
        Panel("Clusters", "", tuple(_course(r.clusters, seconds) for r in recorders)),
        Panel("Warm nodes that wait in the pool", "", tuple(_course(r.idle_nodes, seconds) for r in recorders)),
        *_if_any("Parked nodes", [r.parked_nodes for r in recorders], seconds),
        *_if_any("Burst nodes", [r.burst_nodes for r in recorders], seconds),
        Panel("Credits so far", "", tuple(_credits(r, seconds) for r in recorders)),
    )
    legend, top = _legend([name for name, _ in runs])
    height = top + len(panels) * (PANEL + GAP) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="12" fill="#24292f">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        *legend,
    ]
    for number, panel in enumerate(panels):
        parts += _panel(panel, top + number * (PANEL + GAP), seconds)
    return "\n".join([*parts, "</svg>", ""])


def _queued(recorder: Recorder, seconds: float) -> Line:
    bins: list[list[float]] = [[] for _ in range(BINS)]
    for arrived, queued in zip(recorder.arrived, recorder.queued, strict=True):
        bins[_bin(arrived, seconds)].append(queued)
    return [sorted(b)[max(1, -(-len(b) * 95 // 100)) - 1] if b else 0.0 for b in bins]


def _if_any(title: str, courses: Sequence[Steps], seconds: float) -> tuple[Panel, ...]:
    """Return a panel of what there may be none of."""
    if not any(steps.peak for steps in courses):
        return ()
    return (Panel(title, "", tuple(_course(steps, seconds) for steps in courses)),)


def _course(steps: Steps, seconds: float) -> Line:
    """Return the highest value within each bin."""
    line = [0.0] * BINS
    value, last = 0.0, 0
    for at, after in zip(steps.at_seconds, steps.values, strict=True):
        here = _bin(at, seconds)
        for i in range(last + 1, here + 1):
            line[i] = value
        line[here] = max(line[here], after)
        value, last = after, here
    for i in range(last + 1, BINS):
        line[i] = value
    return line


def _credits(recorder: Recorder, seconds: float) -> Line:
    """Return the credits used until the end of each bin."""
    rate = [0.0] * (BINS + 1)
    width = seconds / BINS
    for since, until, an_hour in recorder.bills:
        first, last = _bin(since, seconds), _bin(until, seconds)
        for i in range(first, last + 1):
            rate[i] += an_hour / 3600 * (min(until, (i + 1) * width) - max(since, i * width))
    line, total = [], 0.0
    for used in rate[:BINS]:
        total += used
        line.append(total)
    return line


def _bin(at: float, seconds: float) -> int:
    return min(BINS - 1, int(at / seconds * BINS))


def _legend(names: Sequence[str]) -> tuple[list[str], int]:
    """Return the runs' names with their colours, in as many rows as they need, and where the first chart begins."""
    parts, x, y = [], LEFT, 16
    for number, name in enumerate(names):
        wide = 48 + 7 * len(name)
        if x > LEFT and x + wide - 24 > WIDTH - RIGHT:
            x, y = LEFT, y + LEGEND_ROW
        colour = COLOURS[number % len(COLOURS)]
        parts.append(f'<rect x="{x}" y="{y}" width="18" height="4" fill="{colour}"/>')
        parts.append(f'<text x="{x + 24}" y="{y + 6}">{html.escape(name)}</text>')
        x += wide
    return parts, y + TOP - 16


def _panel(panel: Panel, top: int, seconds: float) -> list[str]:
    bottom, most, inner = top + PANEL, panel.most, WIDTH - LEFT - RIGHT
    parts = [f'<text x="{LEFT}" y="{top - 8}" font-weight="600">{html.escape(panel.title)}</text>']
    for share in (0.0, 0.5, 1.0):
        y = bottom - share * PANEL
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.0f}" y2="{y:.0f}" stroke="#d0d7de"/>')
        text = f"{share * most:,.4g} {panel.unit}".strip()
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.0f}" text-anchor="end">{text}</text>')
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        anchor = "start" if share == 0 else "end" if share == 1 else "middle"
        place = f'x="{LEFT + share * inner:.0f}" y="{bottom + 16}"'
        parts.append(f'<text {place} text-anchor="{anchor}" fill="#57606a">{_moment(share * seconds)}</text>')
    for number, line in enumerate(panel.lines):
        points = " ".join(
            f"{LEFT + (i + 0.5) / BINS * inner:.1f},{bottom - min(value / most, 1.0) * PANEL:.1f}"
            for i, value in enumerate(line)
        )
        colour = COLOURS[number % len(COLOURS)]
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
    return parts


def _moment(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02d} h" if hours else f"{rest // 60}:{rest % 60:02d} min"
