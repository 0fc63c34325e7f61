"""A physical plan cut at its exchanges into stages, and a stage into tasks. Pure, but for the schemas asked for.

- A hash repartition ends a stage with a shuffle: each task gives out all partitions.
- Below a merge, sorted or not, a stage ends with a gather: each task gives out its own partitions, in their order.
- The collected left side of a join is a stage of its own, and every task of the join reads all of it: a broadcast.
- A join that marks matches of its collected left side runs as one task, because its partitions share the marks; those
  of its right rows that may have a match are found before, by a stage of many tasks (marking.py).

Source: engine notes, "Distributed plans with DataFusion"; cuts of the 22 TPC-H and 103 TPC-DS statements were proved.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from firn_model.profile import ExchangeKind

from firn_runtime.plans.marking import reducer
from firn_runtime.plans.tree import (
    EMPTIES,
    FILE_SCANS,
    NODE,
    Node,
    children,
    collects_left,
    inner,
    is_volatile,
    kind_of,
    marks_left,
    partition_count,
    walk,
)

LOCAL_STORE = "file:///"
_EXCHANGE = "exchange/"
"""Path of the one file that stands for what a partition of a stage's output has; the stage's number follows."""

SchemaOf = Callable[[Node], Node]
"""Returns the schema (message Schema) of a plan's rows."""

_WHOLE = frozenset({"global_limit", "repartition"})
"""What a stage has one task for."""
_NEED_ORDER = frozenset({"window", "sort_merge_join", "sort_preserving_merge"})


@dataclass(frozen=True, slots=True)
class TaskCut:
    """One task: its plan, the partitions of it that it runs, and what it reads."""

    plan: bytes
    partitions: tuple[int, ...]
    inputs: tuple[tuple[int, tuple[int, ...]], ...]
    """Stage → the partitions of its output that this task reads."""
    files: tuple[tuple[str, int], ...]
    """Path and bytes of each file or part of a file that it scans."""


@dataclass(frozen=True, slots=True)
class StageCut:
    """One stage: how it gives its rows on, in how many partitions, and its tasks."""

    exchange: ExchangeKind
    outputs: int
    tasks: tuple[TaskCut, ...]
    inputs: tuple[int, ...]
    operators: tuple[str, ...]
    """The kinds of its nodes, from the root, and what its leaves read: a stage, or tables by a first file."""

    @property
    def is_scan(self) -> bool:
        """Whether it only reads tables: what nodes that come and go may run."""
        return not self.inputs and any(task.files for task in self.tasks)


def cut(root: Node, schema_of: SchemaOf) -> tuple[StageCut, ...]:
    """Return a plan's stages, inputs before those that read them; the last gives the result. Consumes `root`.

    Raises CannotCutError when the plan has a node that cannot run in parts.
    """
    if partition_count(root) > 1:
        whole = NODE()
        whole.merge.input.CopyFrom(root)
        root = whole
    cutter = _Cutter(schema_of)
    cutter.below(root)
    cutter.add(root, ExchangeKind.RESULT, 1)
    return tuple(cutter.stages)


class _Cutter:
    def __init__(self, schema_of: SchemaOf) -> None:
        self._schema_of = schema_of
        self.stages: list[StageCut] = []

    def below(self, node: Node, *, in_order: bool = False) -> None:
        """Cut at the exchanges below a node, and at the node itself if it is one.

        `in_order`: what is above needs the node's rows in the order in which they come. A shuffle would lose it, so a
        repartition that keeps an order stays inside its stage, which then is one task.
        """
        kind = kind_of(node)
        for child, ordered in _inputs(node, in_order=in_order):
            self.below(child, in_order=ordered)
        if kind == "repartition" and not in_order:
            outputs = partition_count(node)
            self._replace(node, ExchangeKind.SHUFFLE, outputs)
        elif kind in ("merge", "sort_preserving_merge"):
            self._gather(inner(node).input)
        elif collects_left(node) and partition_count(node) > 1:
            if not _is_gathered(inner(node).left):
                self._gather(inner(node).left)
            self._reduce(node)

    def _reduce(self, join: Node) -> None:
        """Have a join that marks matches of its left side read but those rows of its right side that have some."""
        reduced = reducer(join)
        if reduced is not None:
            join.hash_join.right.Clear()
            join.hash_join.right.merge.input.CopyFrom(reduced)
            self._gather(join.hash_join.right.merge.input)

    def _gather(self, node: Node) -> None:
        if not _reads_exchange(node):
            self._replace(node, ExchangeKind.GATHER, partition_count(node))

    def _replace(self, node: Node, exchange: ExchangeKind, outputs: int) -> None:
        """Make what is below a node a stage, and the node the leaf that reads it."""
        schema = self._schema_of(node)
        number = self.add(node, exchange, outputs)
        node.Clear()
        files = node.arrow_scan.files
        files.store = LOCAL_STORE
        files.schema.CopyFrom(schema)
        files.statistics.SetInParent()
        files.constraints.SetInParent()
        files.projection.extend(range(len(schema.columns)))
        files.partitioning.unknown = outputs  # declared: else an idle partition takes files of another
        for _ in range(outputs):
            files.groups.add().files.add(path=f"{_EXCHANGE}{number}")

    def add(self, node: Node, exchange: ExchangeKind, outputs: int) -> int:
        """Add a stage, unless an equal one is there; return its number."""
        tasks = tuple(_tasks(node, exchange))
        inputs = tuple(sorted({stage for task in tasks for stage, _ in task.inputs}))
        operators = tuple(_operator(each) for each in walk(node))
        stage = StageCut(exchange, outputs, tasks, inputs, operators)
        if stage in self.stages and not is_volatile(node):
            return self.stages.index(stage)
        self.stages.append(stage)
        return len(self.stages) - 1


def _inputs(node: Node, *, in_order: bool) -> list[tuple[Node, bool]]:
    """Return a node's inputs, each with whether its rows' order matters."""
    kind, below = kind_of(node), children(node)
    if kind in _NEED_ORDER:
        return [(child, True) for child in below]
    if kind in ("sort", "merge", "aggregate"):  # an aggregate over rows in no order takes them as they are
        return [(child, False) for child in below]
    last = 0 if kind in ("union", "interleave") else len(below) - 1
    return [(child, in_order and number >= last) for number, child in enumerate(below)]


def _is_gathered(node: Node) -> bool:
    return _reads_exchange(node) or (kind_of(node) == "merge" and _reads_exchange(node.merge.input))


def _reads_exchange(node: Node) -> bool:
    return exchange_read(node) is not None


def exchange_read(node: Node) -> int | None:
    """Return the stage whose output a leaf reads; None for another node, or a leaf that reads no partition of it."""
    if kind_of(node) != "arrow_scan":
        return None
    held = (file.path for group in node.arrow_scan.files.groups for file in group.files)
    return next((int(path.removeprefix(_EXCHANGE)) for path in held if path.startswith(_EXCHANGE)), None)


def _operator(node: Node) -> str:
    stage, kind = exchange_read(node), kind_of(node)
    if stage is not None:
        return f"read stage {stage}"
    paths = (file.path for group in inner(node).files.groups for file in group.files) if kind in FILE_SCANS else ()
    return f"{kind} {next(iter(paths), '')}".rstrip()


def _tasks(root: Node, exchange: ExchangeKind) -> Iterable[TaskCut]:
    """Yield a task for each partition, or one for all where the plan's shape needs it."""
    body = root.repartition.input if exchange is ExchangeKind.SHUFFLE else root
    count = partition_count(body)
    single = any(marks_left(node) or kind_of(node) in _WHOLE for node in walk(body))
    if single or count == 1:
        yield _task(root, tuple(range(count)))
        return
    for partition in range(count):
        plan = NODE()
        plan.CopyFrom(root)
        _keep(plan.repartition.input if exchange is ExchangeKind.SHUFFLE else plan, {partition})
        yield _task(plan, (partition,))


def _task(plan: Node, partitions: tuple[int, ...]) -> TaskCut:
    inputs: dict[int, set[int]] = {}
    files: list[tuple[str, int]] = []
    for node in walk(plan):
        if kind_of(node) not in FILE_SCANS:
            continue
        groups = inner(node).files.groups
        stage = exchange_read(node)
        if stage is None:
            files.extend((file.path, _bytes(file)) for group in groups for file in group.files)
        else:
            inputs.setdefault(stage, set()).update(number for number, group in enumerate(groups) if group.files)
    read = tuple((stage, tuple(sorted(numbers))) for stage, numbers in sorted(inputs.items()))
    return TaskCut(plan.SerializeToString(deterministic=True), partitions, read, tuple(files))


def _bytes(file: Node) -> int:
    return int(file.range.end - file.range.start if file.HasField("range") else file.size)


def _keep(node: Node, kept: set[int]) -> None:
    """Take from the leaves what no kept partition of the node reads."""
    kind, fields = kind_of(node), inner(node)
    if kind in FILE_SCANS:
        for number, group in enumerate(fields.files.groups):
            if number not in kept:
                del group.files[:]
    elif kind == "memory_scan":
        for number in range(len(fields.partitions)):
            if number not in kept:
                fields.partitions[number] = b""
    elif kind == "union":
        offset = 0
        for child in fields.inputs:
            count = partition_count(child)
            _keep(child, {number - offset for number in kept if offset <= number < offset + count})
            offset += count
    elif collects_left(node):
        _keep(fields.right, kept)
    elif kind not in ("merge", "sort_preserving_merge", *EMPTIES):
        for child in children(node):
            _keep(child, kept)
