"""A statement's plan as an SVG picture: stages from scans at the top to the result at the bottom.

A box is a stage: when it ran (the strip below its title, of the statement's whole time), its part of all tasks' time
(the colour of its title), its operators with their parts of the stage's computing, where its bytes came from, and what
was out of the ordinary. A line is what a stage gave to another: the wider, the more bytes.
"""

import math
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from firn_model.api import ProfileReply
from firn_model.profile import OperatorProfile, Profile, StageProfile

from firn import output, profile_text, stages
from firn.errors import UsageError

WIDTH = 330
GAP = 36
BETWEEN = 74
"""Room for a line and its text between two rows of boxes."""
MARGIN = 28
LINE = 18
PADDING = 12
TITLE = 30
MOST_OPERATORS = 9
MOST_OPERATORS_ALONE = 40
STEP = 7
"""An operator is so much to the right of the one that it gives its rows to."""
LEAST_WIDTH = 860
DEEPEST = 16
LEGEND = (
    "Colour of a title: part of the time of all tasks. Strip: when the stage ran. Bars: part of its computing. "
    "Numbers: rows given out."
)
FONT = "ui-sans-serif, system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif"
MONO = "ui-monospace, 'DejaVu Sans Mono', Menlo, monospace"
INK, FAINT, RULE, PAPER, WARN = "#1f2933", "#616e7c", "#cbd2d9", "#ffffff", "#b44d12"
TIERS = {"memory": "#2f9e77", "SSD": "#3b82c4", "S3": "#d9822b", "peers": "#8a63b8"}
COOL, WARM = (226, 236, 245), (246, 178, 120)


@dataclass(slots=True)
class _Box:
    """A stage's place in the picture."""

    stage: StageProfile
    lines: list[OperatorProfile]
    hidden: int
    inputs: "list[_Box]"
    depth: int
    left: float = 0
    top: float = 0

    @property
    def height(self) -> float:
        operators = len(self.lines) + (1 if self.hidden else 0)
        more = _tiers_height(self.stage) + LINE * len(stages.remarks(self.stage))
        return TITLE + 16 + LINE * (operators + 1) + more + PADDING

    @property
    def middle(self) -> float:
        return self.left + WIDTH / 2


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that goes into a file."""

    reply: ProfileReply
    path: Path

    def write(self, out: TextIO, form: str) -> None:
        """Write the file. Raises UsageError when that cannot be done."""
        del out, form
        try:
            self.path.write_text(svg(self.reply))
        except OSError as error:
            raise UsageError(f"cannot write the picture {self.path}: {error}") from error
        sys.stderr.write(f"wrote {self.path}\n")


def svg(reply: ProfileReply) -> str:
    """Return the picture."""
    profile = reply.profile
    roots = [_boxes(branch, 0) for branch in stages.branches(profile)]
    facts = [(name, text) for name, text in profile_text.facts(reply) if name not in ("id", "state")]
    head = MARGIN + 30 + LINE * (len(facts) + 1) + 38
    width, height = _lay_out(roots, head)
    root = Element("svg", xmlns="http://www.w3.org/2000/svg")
    root.set("font-family", FONT)
    root.set("font-size", "12")
    _size(root, max(width, LEAST_WIDTH), height)
    SubElement(root, "rect", width="100%", height="100%", fill=PAPER)
    _head(root, reply, facts)
    for box in _all(roots):
        for below in box.inputs:
            _line(root, below, box)
    for box in _all(roots):
        _box(root, profile, box)
    indent(root)
    return tostring(root, encoding="unicode") + "\n"


# Where everything is


def _boxes(branch: stages.Branch, depth: int) -> _Box:
    plan = branch.stage.plan
    inputs = [_boxes(each, depth + 1) for each in branch.inputs]
    most = MOST_OPERATORS if inputs or depth else MOST_OPERATORS_ALONE
    shown = plan if len(plan) <= most else _longest(plan, most - 1)
    return _Box(branch.stage, list(shown), len(plan) - len(shown), inputs, depth)


def _longest(plan: tuple[OperatorProfile, ...], most: int) -> list[OperatorProfile]:
    """Return the operators that computed longest, in their order, and with them all that read a table."""
    by_time = sorted(range(len(plan)), key=lambda at: (not plan[at].bytes_scanned, -plan[at].seconds))
    return [plan[at] for at in sorted(by_time[:most])]


def _lay_out(roots: list[_Box], head: float) -> tuple[float, float]:
    """Place all boxes: a stage below its inputs, in their middle. Return the picture's width and height."""
    next_left = float(MARGIN)

    def place(box: _Box) -> None:
        nonlocal next_left
        for each in box.inputs:
            place(each)
        if box.inputs:
            box.left = (box.inputs[0].left + box.inputs[-1].left) / 2
        else:
            box.left = next_left
            next_left += WIDTH + GAP

    for root in roots:
        place(root)
    rows: dict[int, list[_Box]] = {}
    for box in _all(roots):
        rows.setdefault(box.depth, []).append(box)
    top = head
    for depth in sorted(rows, reverse=True):
        tallest = max(box.height for box in rows[depth])
        for box in rows[depth]:
            box.top = top + tallest - box.height
        top += tallest + BETWEEN
    return max(next_left - GAP, MARGIN) + MARGIN, top - (BETWEEN if rows else 0) + MARGIN


def _all(boxes: Iterable[_Box]) -> Iterable[_Box]:
    for box in boxes:
        yield box
        yield from _all(box.inputs)


# What is drawn


def _head(root: Element, reply: ProfileReply, facts: list[tuple[str, str]]) -> None:
    statement = reply.statement
    _text(root, MARGIN, MARGIN + 14, f"Statement {statement.id} {statement.state.value}", size=17, weight="600")
    y = MARGIN + 40.0
    for name, text in facts:
        _text(root, MARGIN, y, name, fill=FAINT)
        _text(root, MARGIN + 90, y, _cut(text, 110))
        y += LINE
    sql = " ".join(statement.sql.split())
    _text(root, MARGIN, y + 2, _cut(sql, 105), fill=FAINT, mono=True, hint=statement.sql)
    _text(root, MARGIN, y + 4 + LINE, LEGEND, fill=FAINT, size=11)


def _box(root: Element, profile: Profile, box: _Box) -> None:
    stage = box.stage
    group = SubElement(root, "g", transform=f"translate({box.left:g} {box.top:g})")
    edge = WARN if stages.remarks(stage) else RULE
    _rect(group, 0, 0, WIDTH, box.height, "#fbfcfd", radius=8, stroke=edge)
    part = stages.share(profile, stage)
    title = f"M0 {TITLE} V8 Q0 0 8 0 H{WIDTH - 8} Q{WIDTH} 0 {WIDTH} 8 V{TITLE} Z"
    SubElement(group, "path", d=title, fill=_heat(part), stroke=edge)
    _text(group, PADDING, 20, f"Stage {stage.number} · {stage.exchange.value}", weight="600", size=13)
    time = f"{part * 100:.0f} % · {output.seconds_text(stages.seconds(stage))}"
    hint = f"{part * 100:.1f} % of the time of all tasks; {stages.seconds(stage):.3f} s from first start to last end"
    _text(group, WIDTH - PADDING, 20, time, anchor="end", hint=hint)
    y = _when(group, profile, stage, TITLE + 6)
    total = sum(operator.seconds for operator in stage.plan) or 1.0
    for operator in box.lines:
        y = _operator(group, operator, total, y)
    if box.hidden:
        _text(group, PADDING, y + 13, f"and {output.count_text(box.hidden, 'operator')} more", fill=FAINT)
        y += LINE
    y = _tiers(group, stage, y)
    _foot(group, stage, y)


def _when(group: Element, profile: Profile, stage: StageProfile, y: float) -> float:
    """Draw when a stage ran."""
    width = WIDTH - 2 * PADDING
    _rect(group, PADDING, y, width, 4, "#e4e7eb", radius=2)
    whole = max(profile.execute_seconds, *(each.ended_seconds for each in profile.stages))
    if whole > 0:
        start, end = stage.started_seconds / whole * width, stage.ended_seconds / whole * width
        bar = _rect(group, PADDING + start, y, max(end - start, 2), 4, "#52606d", radius=2)
        _hint(bar, f"ran from {stage.started_seconds:.3f} s to {stage.ended_seconds:.3f} s of {whole:.3f} s")
    return y + 10


def _operator(group: Element, operator: OperatorProfile, total: float, y: float) -> float:
    """Draw an operator: a bar of its part of the stage's computing, its name, its rows."""
    part = operator.seconds / total
    hint = f"{operator.detail}\n{output.seconds_text(operator.seconds)} of computing, {part * 100:.0f} % of the stage's"
    if operator.bytes_spilled:
        hint += f"\n{output.bytes_text(operator.bytes_spilled)} spilled"
    _rect(group, PADDING, y + 1, (WIDTH - 2 * PADDING) * part, LINE - 3, "#dbe7f1", radius=2)
    rows = f"{operator.rows:,}"
    left = PADDING + 4 + STEP * min(operator.depth, DEEPEST)
    room = int((WIDTH - left - PADDING - 7 * len(rows) - 10) / 6.6)
    text = _cut(f"{operator.name} {_words(operator)}".strip(), room)
    _text(group, left, y + 13, text, hint=hint.strip())
    _text(group, WIDTH - PADDING - 4, y + 13, rows, anchor="end", fill=FAINT)
    return y + LINE


def _words(operator: OperatorProfile) -> str:
    """Return the few words of a detail that tell one operator from its like."""
    marks = {
        "Aggregate": "mode=",
        "HashJoin": "join_type=",
        "SortMergeJoin": "join_type=",
        "NestedLoopJoin": "join_type=",
    }
    mark = marks.get(operator.name)
    if mark is not None and mark in operator.detail:
        word = operator.detail.split(mark, 1)[1].split(",", 1)[0]
        return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", word).lower()
    return operator.detail.partition(", projection=")[0] if operator.name == "Filter" else ""


def _tiers(group: Element, stage: StageProfile, y: float) -> float:
    """Draw where the stage's bytes were read."""
    found = stages.sources(stage.bytes)
    if not found:
        return y
    total = sum(count for _, count in found)
    left, width = float(PADDING), WIDTH - 2 * PADDING
    for place, count in found:
        part = max(width * count / total, 2.0)
        bar = _rect(group, left, y + 6, min(part, PADDING + width - left), 6, TIERS[place])
        _hint(bar, f"{output.bytes_text(count)} from {place}")
        left += part
    for number, (place, count) in enumerate(found):
        row, column = divmod(number, 2)
        text = f"{place} {output.bytes_text(count)}"
        _text(group, PADDING + column * width / 2, y + 26 + LINE * row, text, fill=TIERS[place], weight="600", size=11)
    return y + _tiers_height(stage)


def _tiers_height(stage: StageProfile) -> float:
    rows = math.ceil(len(stages.sources(stage.bytes)) / 2)
    return LINE * rows + 12 if rows else 0.0


def _foot(group: Element, stage: StageProfile, y: float) -> None:
    counts = [output.count_text(stage.tasks, "task"), output.count_text(len(stage.nodes), "node")]
    _text(
        group, PADDING, y + 14, f"{', '.join(counts)}, {output.seconds_text(stage.task_seconds)} of tasks", fill=FAINT
    )
    skewed = stages.is_skewed(stage)
    skew = f"skew {stage.skew:.1f}"
    hint = "the slowest task's time over the median's"
    colour, weight = (WARN, "600") if skewed else (FAINT, "400")
    _text(group, WIDTH - PADDING, y + 14, skew, anchor="end", fill=colour, weight=weight, hint=hint)
    for number, remark in enumerate(stages.remarks(stage), start=1):
        _text(group, PADDING, y + 14 + LINE * number, f"▲ {_cut(remark, 48)}", fill=WARN, weight="600")


def _line(root: Element, above: _Box, below: _Box) -> None:
    """Draw what a stage gave to another."""
    stage = above.stage
    x, y, to_x, to_y = above.middle, above.top + above.height, below.middle, below.top
    bend = (to_y - y) / 2
    wide = 1.5 + math.log10(1 + stage.bytes_out) * 0.9
    path = f"M{x:g} {y:g} C{x:g} {y + bend:g} {to_x:g} {to_y - bend:g} {to_x:g} {to_y:g}"
    SubElement(root, "path", {"d": path, "fill": "none", "stroke": "#9fb3c8", "stroke-width": f"{wide:.1f}"})
    text = f"{output.count_text(stage.rows_out, 'row')} · {output.bytes_text(stage.bytes_out)}"
    room = 7 * len(text)
    _rect(root, x - room / 2, y + 9, room, 18, PAPER, radius=3)
    _text(root, x, y + 22, text, anchor="middle")


# Small parts


def _heat(part: float) -> str:
    """Return a colour for a part of the time: the warmer, the more."""
    mixed = (round(cool + (warm - cool) * min(part * 1.5, 1.0)) for cool, warm in zip(COOL, WARM, strict=True))
    return "#" + "".join(f"{value:02x}" for value in mixed)


def _size(root: Element, width: float, height: float) -> None:
    root.set("width", f"{width:g}")
    root.set("height", f"{height:g}")
    root.set("viewBox", f"0 0 {width:g} {height:g}")


def _rect(
    parent: Element, x: float, y: float, width: float, height: float, fill: str, radius: float = 0, stroke: str = "none"
) -> Element:
    place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "width": f"{width:.1f}", "height": f"{height:.1f}"}
    return SubElement(parent, "rect", {**place, "rx": f"{radius:g}", "fill": fill, "stroke": stroke})


def _text(
    parent: Element,
    x: float,
    y: float,
    text: str,
    *,
    fill: str = INK,
    size: int = 12,
    weight: str = "400",
    anchor: str = "start",
    mono: bool = False,
    hint: str = "",
) -> Element:
    made = SubElement(parent, "text", x=f"{x:g}", y=f"{y:g}", fill=fill)
    made.set("font-size", str(size))
    made.set("font-weight", weight)
    made.set("text-anchor", anchor)
    if mono:
        made.set("font-family", MONO)
    if hint:
        _hint(made, hint)
        made[0].tail = _clean(text)
    else:
        made.text = _clean(text)
    return made


def _hint(element: Element, text: str) -> None:
    """Add what is shown under the pointer."""
    SubElement(element, "title").text = _clean(text)


def _clean(text: str) -> str:
    """Return a text without the characters that XML does not have."""
    return "".join(character for character in text if character.isprintable() or character in "\n\t")


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: max(most - 1, 0)] + "…"
