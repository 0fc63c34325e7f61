"""What a profile's stages say for people: how they hang together, what each did, what was out of the ordinary."""

from collections.abc import Sequence
from dataclasses import dataclass

from firn_model.profile import OperatorProfile, Profile, StageProfile, TierBytes

from firn import output

SKEWED = 2.0
"""A stage is skewed when its slowest task took this many times the median, and not only a moment."""
SKEWED_SECONDS = 0.05
NODE_LETTERS = 8
MOST_KINDS = 5
_BESIDE = frozenset(
    {"Projection", "CoalescePartitions", "CoalesceBatches", "Repartition", "Exchange", "CooperativeExec"}
)
_READS = "read stage"


@dataclass(frozen=True, slots=True)
class Branch:
    """A stage in the tree of a plan, above those that it reads."""

    stage: StageProfile
    inputs: "tuple[Branch, ...]"


def branches(profile: Profile) -> tuple[Branch, ...]:
    """Return a profile's stages as trees, one for each query; a stage that several read is below the first."""
    by_number = {stage.number: stage for stage in profile.stages}
    placed: set[int] = set()

    def branch(stage: StageProfile) -> Branch:
        placed.add(stage.number)
        below = (by_number[number] for number in stage.inputs if number in by_number)
        return Branch(stage, tuple(branch(each) for each in below if each.number not in placed))

    read = {number for stage in profile.stages for number in stage.inputs}
    return tuple(branch(stage) for stage in profile.stages if stage.number not in read)


def share(profile: Profile, stage: StageProfile) -> float:
    """Return a stage's part of the time of all tasks."""
    total = sum(each.task_seconds for each in profile.stages)
    return stage.task_seconds / total if total > 0 else 0.0


def seconds(stage: StageProfile) -> float:
    """Return how long a stage took, from its first task's start to its last one's end."""
    return max(stage.ended_seconds - stage.started_seconds, 0.0)


def is_skewed(stage: StageProfile) -> bool:
    """Whether one task made the others wait."""
    slowest = max((task.seconds for task in stage.slowest), default=0.0)
    return stage.skew >= SKEWED and slowest >= SKEWED_SECONDS


def sources(read: TierBytes) -> list[tuple[str, int]]:
    """Return where bytes were read, as far as any were: the fastest place first."""
    found = [
        ("memory", read.scanned_from_memory),
        ("SSD", read.scanned_from_disk),
        ("S3", read.scanned_from_object_store),
        ("peers", read.fetched_from_peers),
    ]
    return [(place, count) for place, count in found if count]


def sources_text(read: TierBytes) -> str:
    """Return `SSD 1.2 MiB, S3 3.0 MiB`."""
    return ", ".join(f"{place} {output.bytes_text(count)}" for place, count in sources(read))


def remarks(stage: StageProfile) -> list[str]:
    """Return what was out of the ordinary in a stage."""
    spilled = [("SSD", stage.bytes.spilled_to_disk), ("S3", stage.bytes.spilled_to_object_store)]
    found = [f"spilled {output.bytes_text(count)} to {place}" for place, count in spilled if count]
    counts = [(stage.stolen, "stolen"), (stage.doubled, "doubled"), (stage.retried, "retried")]
    found += [f"{count} {what}" for count, what in counts if count]
    if is_skewed(stage):
        slowest = max(stage.slowest, key=lambda task: task.seconds)
        took = output.seconds_text(slowest.seconds)
        found.append(f"skewed: task {slowest.number} took {took} on {node_text(slowest.node)}")
    return found


def node_text(uid: str) -> str:
    """Return the first letters of a pod's UID."""
    return uid[:NODE_LETTERS]


def what(stage: StageProfile) -> str:
    """Return what a stage does, from its root, without what only passes rows on."""
    names = [operator.name for operator in stage.plan] or list(stage.operators)
    kept: list[str] = []
    for name in names:
        if name not in _BESIDE and not name.startswith(_READS) and (not kept or kept[-1] != name):
            kept.append(name)
    return ", ".join(kept[:MOST_KINDS]) + (", …" if len(kept) > MOST_KINDS else "")


def slowest_operators(profile: Profile, most: int) -> list[tuple[StageProfile, OperatorProfile]]:
    """Return the operators that computed longest, each with its stage."""
    found = [(stage, operator) for stage in profile.stages for operator in stage.plan if operator.seconds > 0]
    return sorted(found, key=lambda pair: -pair[1].seconds)[:most]


def summed(profile: Profile) -> TierBytes:
    """Return the bytes of all stages together."""
    each: Sequence[TierBytes] = [stage.bytes for stage in profile.stages]
    return TierBytes(**{name: sum(getattr(one, name) for one in each) for name in TierBytes.model_fields})
