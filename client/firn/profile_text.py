"""How a statement ran, as text: its facts, its stages as a tree, the operators that computed longest."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from firn_model.api import ProfileReply, StatementReply
from firn_model.profile import OperatorProfile, Profile, StageProfile

from firn import output, stages
from firn.lists import Listing, Single

BAR_WIDTH = 10
MOST_OPERATORS = 8
_EIGHTHS = " ▏▎▍▌▋▊▉█"


@dataclass(frozen=True, slots=True)
class ProfileText:
    """A profile as it is written."""

    reply: ProfileReply

    def write(self, out: TextIO, form: str) -> None:
        """Write it for people, as JSON with all there is, or its stages as CSV."""
        stages_only = listing(self.reply.profile)
        if form == "json":
            out.write(self.reply.model_dump_json(indent=2, exclude={"statement": {"result"}}) + "\n")
        elif form == "csv":
            stages_only.write(out, form)
        else:
            Single(facts(self.reply), stages_only).write(out, form)
            _write_stages(out, self.reply.profile)


def _write_stages(out: TextIO, profile: Profile) -> None:
    if profile.stages:
        out.write("\n")
        listing(profile).write(out, "table")
    for stage in profile.stages:
        if remarks := stages.remarks(stage):
            out.write(f"\nstage {stage.number}: {'; '.join(remarks)}")
    out.write("\n" if any(stages.remarks(stage) for stage in profile.stages) else "")
    if len(profile.stages) == 1 and profile.stages[0].plan:
        out.write("\nIts operators, each above its inputs, with the time that it computed on all cores together:\n\n")
        only = [(profile.stages[0], each) for each in profile.stages[0].plan]
        _operators(profile, only, step="  ").write(out, "table")
    elif slowest := stages.slowest_operators(profile, MOST_OPERATORS):
        out.write("\nThe operators that computed longest, on all nodes and cores together:\n\n")
        _operators(profile, slowest, step="").write(out, "table")


def facts(reply: ProfileReply) -> list[tuple[str, str]]:
    """Return what is to be said of the whole statement, a line for each fact."""
    statement, profile = reply.statement, reply.profile
    tiers = stages.summed(profile)
    found = [
        ("id", statement.id),
        ("state", statement.state.value),
        ("warehouse", statement.warehouse or ""),
        ("cluster", statement.cluster or ""),
        ("time", _time(statement, profile)),
        ("nodes", _nodes(profile.nodes)),
        ("lost", _nodes(profile.lost_nodes) if profile.lost_nodes else ""),
        ("attempts", str(statement.attempts) if statement.attempts > 1 else ""),
        ("ran whole", f"because {profile.whole_because}" if profile.whole_because else ""),
        ("tasks", _tasks(profile)),
        ("read", stages.sources_text(tiers) or "nothing"),
        ("exchanged", _exchanged(profile)),
        ("spilled", _spilled(profile)),
    ]
    found += [("planned again", reason) for reason in profile.replanned_because]
    return [(name, text) for name, text in found if text]


def listing(profile: Profile) -> Listing:
    """Return the stages, each above those that it reads."""
    return Listing(
        names=("STAGE", "TASKS", "NODES", "ROWS READ", "ROWS OUT", "OUT", "TIME", "SHARE", "SKEW", "READ FROM", "WHAT"),
        numeric=(False, True, True, True, True, True, True, False, True, False, False),
        rows=[_row(profile, lead, branch.stage) for lead, branch in _tree(stages.branches(profile))],
        records=[_record(stage) for stage in profile.stages],
        empty="no stages",
    )


def _tree(branches: tuple[stages.Branch, ...]) -> Iterator[tuple[str, stages.Branch]]:
    """Yield stages from each root, with the lines that lead to them."""
    for branch in branches:
        yield "", branch
        yield from _below(branch, "")


def _below(branch: stages.Branch, lead: str) -> Iterator[tuple[str, stages.Branch]]:
    for each in branch.inputs:
        is_last = each is branch.inputs[-1]
        yield lead + ("└─ " if is_last else "├─ "), each
        yield from _below(each, lead + ("   " if is_last else "│  "))


def _row(profile: Profile, lead: str, stage: StageProfile) -> list[Any]:
    part = stages.share(profile, stage)
    return [
        f"{lead}{stage.number} {stage.exchange.value}",
        stage.tasks,
        len(stage.nodes),
        f"{stage.rows_scanned:,}" if stage.rows_scanned else "",
        f"{stage.rows_out:,}",
        output.bytes_text(stage.bytes_out),
        output.seconds_text(stages.seconds(stage)),
        bar(part),
        f"{stage.skew:.1f} {'!' if stages.is_skewed(stage) else ' '}",
        stages.sources_text(stage.bytes),
        stages.what(stage),
    ]


def _record(stage: StageProfile) -> dict[str, Any]:
    """Return a stage as one flat record, for CSV."""
    flat = stage.model_dump(mode="json", exclude={"plan", "slowest", "bytes", "operators", "inputs", "nodes"})
    lists = {"inputs": " ".join(map(str, stage.inputs)), "nodes": " ".join(stage.nodes), "what": stages.what(stage)}
    return {**flat, **stage.bytes.model_dump(), **lists}


def _operators(profile: Profile, chosen: Sequence[tuple[StageProfile, OperatorProfile]], step: str) -> Listing:
    """Return operators, each so many steps to the right as it is deep in its stage."""
    total = sum(operator.seconds for stage in profile.stages for operator in stage.plan) or 1.0
    return Listing(
        names=("STAGE", "OPERATOR", "ROWS", "CPU", "SHARE", "WHAT"),
        numeric=(True, False, True, True, False, False),
        rows=[
            [
                stage.number,
                step * operator.depth + operator.name,
                f"{operator.rows:,}",
                output.seconds_text(operator.seconds),
                bar(operator.seconds / total),
                operator.detail,
            ]
            for stage, operator in chosen
        ],
        records=[],
        empty="",
    )


def bar(part: float) -> str:
    """Return a part of one as a bar and a percentage of even width."""
    eighths = round(min(max(part, 0.0), 1.0) * BAR_WIDTH * 8)
    full, rest = divmod(eighths, 8)
    drawn = "█" * full + (_EIGHTHS[rest] if rest else "")
    return f"{part * 100:3.0f} % {drawn}".rstrip()


def _time(statement: StatementReply, profile: Profile) -> str:
    parts = [f"planning {output.seconds_text(profile.plan_seconds)}"]
    parts.append(f"running {output.seconds_text(profile.execute_seconds)}")
    if statement.started_at is not None:
        waited = (statement.started_at - statement.submitted_at).total_seconds()
        parts.insert(0, f"waiting {output.seconds_text(max(waited, 0.0))}")
    if statement.ended_at is None:
        return ", ".join(parts)
    total = (statement.ended_at - statement.submitted_at).total_seconds()
    return f"{output.seconds_text(total)}: {', '.join(parts)}"


def _nodes(uids: tuple[str, ...]) -> str:
    return f"{len(uids)}: {', '.join(stages.node_text(uid) for uid in uids)}" if uids else ""


def _tasks(profile: Profile) -> str:
    total = sum(stage.tasks for stage in profile.stages)
    counts = [
        (name, sum(getattr(stage, name) for stage in profile.stages)) for name in ("stolen", "doubled", "retried")
    ]
    extra = "".join(f", {count} {name}" for name, count in counts if count)
    return f"{total} in {output.count_text(len(profile.stages), 'stage')}{extra}" if total else ""


def _exchanged(profile: Profile) -> str:
    tiers = stages.summed(profile)
    if not tiers.kept_in_memory and not tiers.fetched_from_peers:
        return ""
    kept, fetched = output.bytes_text(tiers.kept_in_memory), output.bytes_text(tiers.fetched_from_peers)
    return f"{kept} in memory, {fetched} fetched from peers"


def _spilled(profile: Profile) -> str:
    tiers = stages.summed(profile)
    places = [("SSD", tiers.spilled_to_disk), ("S3", tiers.spilled_to_object_store)]
    return ", ".join(f"{output.bytes_text(count)} to {place}" for place, count in places if count)
