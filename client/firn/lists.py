"""Lists of warehouses, statements and tables, as columns and rows."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, TextIO

from firn_model.api import AdviceReply, EventList, StatementReply, TableReply, UsageReply, WarehouseReply
from firn_model.messages import Statistics

from firn import output
from firn.progress import progress_text, state_text

SQL_WIDTH = 100
LONGEST_SECONDS = 604_800
"""What a statement timeout of 0 means."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A list for people (`names` and `rows`) and the whole records behind it for programs."""

    names: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: list[list[Any]]
    records: list[dict[str, Any]]
    empty: str

    def write(self, out: TextIO, form: str) -> None:
        """Write the list as table, json or csv; JSON and CSV have all fields."""
        if form == "json":
            out.write(json.dumps(self.records, indent=2, ensure_ascii=False) + "\n")
        elif form == "csv":
            names = list(self.records[0]) if self.records else [name.lower() for name in self.names]
            output.write_csv_rows(out, [names])
            output.write_csv_rows(out, [list(record.values()) for record in self.records])
        elif self.rows:
            output.write_table(out, self.names, self.numeric, self._fitting(out))
        else:
            out.write(self.empty + "\n")

    def _fitting(self, out: TextIO) -> list[list[Any]]:
        """Return the rows with the last column, the longest text, cut to what a terminal has room for."""
        if not out.isatty():
            return self.rows
        used = sum(max(len(str(row[at])) for row in [self.names, *self.rows]) + 2 for at in range(len(self.names) - 1))
        room = max(shutil.get_terminal_size().columns - used, 20)
        return [[*row[:-1], _cut(row[-1], room)] for row in self.rows]


@dataclass(frozen=True, slots=True)
class Single:
    """One thing: a line for each fact and a text below for people, its record for programs."""

    facts: list[tuple[str, str]]
    listing: Listing
    below: str = ""

    def write(self, out: TextIO, form: str) -> None:
        """Write it as facts, as one JSON object, or as a list of one."""
        if form == "table":
            width = max(len(name) for name, _ in self.facts)
            for name, text in self.facts:
                out.write(f"{name.ljust(width)}  {text}\n")
            out.write(self.below)
        elif form == "json":
            out.write(json.dumps(self.listing.records[0], indent=2, ensure_ascii=False) + "\n")
        else:
            self.listing.write(out, form)


def warehouse(reply: WarehouseReply) -> Single:
    """Return one warehouse."""
    return Single(_warehouse_facts(reply), warehouses([reply]))


def statement(reply: StatementReply) -> Single:
    """Return one statement, with the steps of its life."""
    below = "".join(f"{line}\n" for line in _step_lines(reply)) + f"\n{reply.sql.strip()}\n"
    return Single(_statement_facts(reply), statements([reply]), below)


def said(reply: StatementReply) -> Listing:
    """Return what the services say of a command that they have done."""
    text = str(reply.result.rows[0][0]) if reply.result is not None and reply.result.rows else ""
    return Listing(("Status",), (False,), [[text]], [{"status": text}], "")


def warehouses(replies: Sequence[WarehouseReply]) -> Listing:
    """Return warehouses with their state at a glance."""
    return Listing(
        names=("NAME", "STATE", "SIZE", "CLUSTERS", "RUNNING", "QUEUED", "AUTO-SUSPEND", "MESSAGE"),
        numeric=(False, False, False, True, True, True, True, False),
        rows=[
            [w.name, _state(w), w.size, w.started_clusters, w.running, w.queued, _suspend(w), w.message or ""]
            for w in replies
        ],
        records=[w.model_dump(mode="json") for w in replies],
        empty="no warehouses yet; create one: firn warehouse create DEMO",
    )


def statements(replies: Sequence[StatementReply]) -> Listing:
    """Return statements, each with the first words of its SQL."""
    return Listing(
        names=("ID", "STATE", "WAREHOUSE", "SUBMITTED", "TIME", "READ", "SQL"),
        numeric=(False, False, False, False, True, True, False),
        rows=[
            [s.id, state_text(s), s.warehouse or "", _at(s.submitted_at), _time(s), _read(s), _sql(s)] for s in replies
        ],
        records=[s.model_dump(mode="json", exclude={"result"}) for s in replies],
        empty="no statements yet; run one: firn sql -q 'SELECT 1' -w DEMO",
    )


def events(reply: EventList) -> Listing:
    """Return a line for each event of a warehouse."""
    return Listing(
        names=("AT", "EVENT", "STATE", "CLUSTER", "SIZE", "STARTED", "REASON"),
        numeric=(False, False, False, True, False, True, False),
        rows=[
            [_at(e.at), e.event, e.state, e.cluster_number or "", e.size, e.cluster_count, e.reason]
            for e in reply.events
        ],
        records=[e.model_dump(mode="json") for e in reply.events],
        empty=f"nothing happened to {reply.warehouse}",
    )


def advice(reply: AdviceReply) -> Listing:
    """Return a line for each advice, with the figures that it rests on and what to do."""
    use = f", {reply.use} use" if reply.use else ""
    return Listing(
        names=("RULE", "FIGURES", "CHANGE", "ADVICE"),
        numeric=(False, False, False, False),
        rows=[[a.rule, _figures(a.figures), a.change or "", a.words] for a in reply.advice],
        records=[a.model_dump(mode="json") for a in reply.advice],
        empty=f"nothing to advise on {reply.warehouse} ({output.count_text(reply.statements, 'statement')}{use})",
    )


def usage(reply: UsageReply) -> Listing:
    """Return credits by hour and warehouse, and their sum below."""
    hours = [
        [_at(h.hour), h.warehouse, *_credits(h.credits_compute, h.credits_burst, h.credits_used)] for h in reply.hours
    ]
    return Listing(
        names=("HOUR", "WAREHOUSE", "COMPUTE", "BURST", "CREDITS"),
        numeric=(False, False, True, True, True),
        rows=[*hours, ["", "all", "", "", *_credits(reply.credits_used)]] if hours else [],
        records=[h.model_dump(mode="json") for h in reply.hours],
        empty="no credits were used",
    )


def tables(replies: Sequence[TableReply]) -> Listing:
    """Return tables with their sizes."""
    return Listing(
        names=("DATABASE", "SCHEMA", "NAME", "ROWS", "SIZE", "FILES"),
        numeric=(False, False, False, True, True, True),
        rows=[
            [t.database, t.schema_name, t.name, f"{t.rows:,}", output.bytes_text(t.size_bytes), t.files]
            for t in replies
        ],
        records=[t.model_dump(mode="json") for t in replies],
        empty="no tables yet; make some of Parquet files: firn table register --help",
    )


def _warehouse_facts(w: WarehouseReply) -> list[tuple[str, str]]:
    acceleration = w.query_acceleration
    facts = [
        ("name", w.name),
        ("resource", f"virtualwarehouse/{w.resource}"),
        ("state", _state(w)),
        ("message", w.message or ""),
        ("size", f"{w.size} ({w.type})"),
        ("clusters", f"{w.started_clusters} started, {_range(w)}"),
        ("statements", f"{w.running} running, {w.queued} queued"),
        ("auto-suspend", _suspend(w)),
        ("auto-resume", "yes" if w.auto_resume else "no"),
        ("concurrency", f"{w.max_concurrency_level} statements a cluster"),
        ("timeouts", _timeouts(w)),
        ("acceleration", _factor(acceleration.max_scale_factor) if acceleration.enabled else ""),
        ("monitor", w.resource_monitor or ""),
        ("pool", w.pool),
        ("credits", f"{w.credits_used:f}" if w.credits_used is not None else ""),
        ("created", _at(w.created_at)),
        ("resumed", _at(w.resumed_at)),
        ("comment", w.comment),
    ]
    return [(name, text) for name, text in facts if text]


def _statement_facts(s: StatementReply) -> list[tuple[str, str]]:
    statistics = s.statistics
    facts = [
        ("id", s.id),
        ("state", s.state.value),
        ("progress", progress_text(s.progress) if s.progress is not None else ""),
        ("waiting for", "" if s.state.is_final else s.waiting_for or ""),
        ("error", f"{s.error.value}: {s.detail.message if s.detail else ''}" if s.error else ""),
        ("user", s.user),
        ("warehouse", s.warehouse or ""),
        ("cluster", s.cluster or ""),
        ("attempts", str(s.attempts)),
        ("submitted", _at(s.submitted_at)),
        ("started", _at(s.started_at)),
        ("ended", _at(s.ended_at)),
        ("time", _time(s)),
    ]
    if statistics is not None:
        facts += [
            ("rows", f"{statistics.rows_produced:,}"),
            ("read", f"{output.bytes_text(statistics.bytes_scanned)} in {statistics.files_scanned} files"),
            ("cpu", output.seconds_text(statistics.cpu_seconds)),
            ("burst", _burst(statistics)),
        ]
    return [(name, text) for name, text in facts if text]


def _step_lines(s: StatementReply) -> list[str]:
    """Return the steps of a statement's life, each with the time since the one before."""
    lines = []
    before = s.submitted_at
    for step in s.steps:
        lines.append(f"  +{(step.at - before).total_seconds() * 1000:9.1f} ms  {step.step}")
        before = step.at
    return lines


def _state(w: WarehouseReply) -> str:
    return f"{w.state} (held)" if w.suspended else w.state


def _suspend(w: WarehouseReply) -> str:
    return f"{w.auto_suspend_seconds} s" if w.auto_suspend_seconds else "never"


def _figures(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:,.4g}" if value % 1 else f"{name} {value:,.0f}" for name, value in figures.items())


def _credits(*amounts: Decimal) -> list[str]:
    return [f"{amount:.6f}" for amount in amounts]


def _range(w: WarehouseReply) -> str:
    if w.min_cluster_count == w.max_cluster_count:
        return f"always {w.max_cluster_count}" if w.max_cluster_count > 1 else "1 at most"
    return f"{w.min_cluster_count} to {w.max_cluster_count}, {w.scaling_policy.value}"


def _timeouts(w: WarehouseReply) -> str:
    queued = w.statement_queued_timeout_seconds
    return f"{w.statement_timeout_seconds or LONGEST_SECONDS} s running, {f'{queued} s' if queued else 'none'} queued"


def _factor(factor: int | None) -> str:
    return f"up to {factor} times its size" if factor else "without a bound"


def _at(at: datetime | None) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}" if at is not None else ""


def _time(s: StatementReply) -> str:
    return output.seconds_text((s.ended_at - s.submitted_at).total_seconds()) if s.ended_at is not None else ""


def _read(s: StatementReply) -> str:
    read = s.statistics or s.progress
    return output.bytes_text(read.bytes_scanned) if read is not None else ""


def _burst(statistics: Statistics) -> str:
    """Return what burst nodes did for a statement; nothing where they did nothing."""
    if not statistics.burst_tasks:
        return ""
    nodes = output.count_text(statistics.burst_nodes, "burst node")
    return f"{output.count_text(statistics.burst_tasks, 'task')} on {nodes}"


def _sql(s: StatementReply) -> str:
    return _cut(" ".join(s.sql.split()), SQL_WIDTH)


def _cut(value: Any, width: int) -> str:
    text = str(value)
    return text if len(text) <= width else text[: width - 1] + "…"
