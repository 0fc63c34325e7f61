"""A warehouse's load as a table with bars, and as a picture."""

import math
from datetime import datetime
from html import escape

from firn_model.api import LoadInterval, LoadReply

from firn.lists import Listing

BAR_WIDTH = 30
WIDTH, HEIGHT = 960, 320
LEFT, RIGHT, TOP, BOTTOM = 48, 16, 40, 36
KINDS = (
    ("running", "█", "#2f6fde"),
    ("queued for load", "▒", "#e8912d"),
    ("queued for provisioning", "░", "#8a8f98"),
)


def listing(reply: LoadReply) -> Listing:
    """Return a line for each interval: averages, utilisation, and a bar."""
    most = max((_total(one) for one in reply.intervals), default=0.0)
    return Listing(
        names=("FROM", "RUNNING", "QUEUED", "PROVISIONING", "BUSY", "CLUSTERS BUSY", "LOAD"),
        numeric=(False, True, True, True, True, False, False),
        rows=[
            [
                _time(one.started_at, reply.interval_seconds),
                f"{one.avg_running:.2f}",
                f"{one.avg_queued_load:.2f}",
                f"{one.avg_queued_provisioning:.2f}",
                _percent(one.utilization),
                "  ".join(f"{c.number}: {_percent(c.utilization)}" for c in one.clusters),
                _bar(one, most),
            ]
            for one in reply.intervals
        ],
        records=[one.model_dump(mode="json") for one in reply.intervals],
        empty="no load was recorded",
    )


def picture(reply: LoadReply) -> str:
    """Return the load as an SVG: stacked bars of statements, and a line of how busy the clusters were."""
    most = _round_up(max((_total(one) for one in reply.intervals), default=0.0))
    step = (WIDTH - LEFT - RIGHT) / max(len(reply.intervals), 1)
    parts = [*_frame(reply, most)]
    for number, one in enumerate(reply.intervals):
        base = float(HEIGHT - BOTTOM)
        for value, (name, _, colour) in zip(_values(one), KINDS, strict=True):
            height = value / most * (HEIGHT - TOP - BOTTOM)
            if height > 0:
                base -= height
                title = escape(_title(one, reply, name, value))
                parts.append(
                    f'<rect x="{LEFT + number * step:.1f}" y="{base:.1f}" width="{max(step - 1, 0.5):.1f}" '
                    f'height="{height:.1f}" fill="{colour}"><title>{title}</title></rect>'
                )
    parts.extend(_busy_lines(reply, step))
    return "\n".join([*parts, "</svg>", ""])


def _frame(reply: LoadReply, most: float) -> list[str]:
    """Return the opening, title, legend and axes."""
    name = escape(reply.warehouse)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f"<title>Load of warehouse {name}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="18" font-size="14">{name}: statements, on average</text>',
    ]
    x = float(WIDTH - RIGHT)
    for label, colour in (("clusters busy (100 % at the top)", "#c0392b"), *((k[0], k[2]) for k in reversed(KINDS))):
        x -= 8 + 6.4 * len(label)
        parts.append(f'<text x="{x:.0f}" y="18">{label}</text>')
        x -= 16
        parts.append(f'<rect x="{x:.0f}" y="9" width="11" height="10" fill="{colour}"/>')
    for part in range(5):
        y = HEIGHT - BOTTOM - part / 4 * (HEIGHT - TOP - BOTTOM)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dddddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{most * part / 4:g}</text>')
    if reply.intervals:
        for at, edge, anchor in ((reply.intervals[0].started_at, LEFT, "start"), (reply.end, WIDTH - RIGHT, "end")):
            text = f"{at.astimezone():%Y-%m-%d %H:%M}"
            parts.append(f'<text x="{edge}" y="{HEIGHT - 12}" text-anchor="{anchor}">{text}</text>')
    return parts


def _busy_lines(reply: LoadReply, step: float) -> list[str]:
    """Return the line of utilisation, broken where no cluster served."""
    lines, points = [], list[str]()
    for number, one in enumerate([*reply.intervals, None]):
        if one is not None and one.utilization is not None:
            y = HEIGHT - BOTTOM - one.utilization * (HEIGHT - TOP - BOTTOM)
            points.append(f"{LEFT + number * step:.1f},{y:.1f} {LEFT + (number + 1) * step:.1f},{y:.1f}")
        elif points:
            lines.append(f'<polyline points="{" ".join(points)}" fill="none" stroke="#c0392b" stroke-width="1.5"/>')
            points = []
    return lines


def _title(one: LoadInterval, reply: LoadReply, name: str, value: float) -> str:
    return f"{_time(one.started_at, reply.interval_seconds)}: {value:.2f} {name}"


def _values(one: LoadInterval) -> tuple[float, float, float]:
    return one.avg_running, one.avg_queued_load, one.avg_queued_provisioning


def _total(one: LoadInterval) -> float:
    return sum(_values(one))


def _bar(one: LoadInterval, most: float) -> str:
    """Return a bar of characters, as long as the load is of the highest one."""
    bar, sums = "", 0.0
    for value, (_, character, _) in zip(_values(one), KINDS, strict=True):
        sums += value
        bar += character * (round(sums / most * BAR_WIDTH) - len(bar) if most else 0)
    return bar


def _round_up(value: float) -> float:
    """Return the next number of 1, 2, 4, 8 or 10 times a power of ten; 1 at least."""
    if value <= 1:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * factor for factor in (1, 2, 4, 8, 10) if value <= power * factor)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"


def _time(at: datetime, interval_seconds: int) -> str:
    local = at.astimezone()
    return f"{local:%m-%d %H:%M:%S}" if interval_seconds < 60 else f"{local:%m-%d %H:%M}"
