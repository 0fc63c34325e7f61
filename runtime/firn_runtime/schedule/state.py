"""What the schedule knows of tasks, runs and nodes, and questions about it that change nothing."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from firn_runtime.schedule.words import Counts, Made, Node, StageSpec, TaskId, TaskSpec

GUESSED_BYTES_PER_SECOND = 100e6
"""How fast a task scans until some have shown it."""
STEADY_SECONDS = 0.05
"""What a task takes beside its scan, when siblings of other sizes are compared."""


@dataclass(slots=True)
class TaskState:
    """One task: how often it was started, its runs, and where its output is once it is done."""

    starts: int = 0
    runs: set[int] = field(default_factory=set)
    run: int | None = None
    """Which run's output that is."""
    node: Node | None = None
    made: tuple[Made, ...] = ()

    @property
    def is_done(self) -> bool:
        """Whether its output is to be had."""
        return self.node is not None


@dataclass(slots=True)
class RunState:
    """One run of a task on a node."""

    task: TaskId
    node: Node
    started: float


@dataclass(slots=True)
class NodeState:
    """One node: how many tasks it runs at once, and which it does."""

    slots: int
    is_burst: bool
    is_head: bool
    wanted: bool = True
    runs: set[int] = field(default_factory=set)

    @property
    def free(self) -> int:
        """How many more tasks it may run now."""
        return self.slots - len(self.runs) if self.wanted else 0


@dataclass(slots=True)
class State:
    """All of a statement's schedule."""

    stages: tuple[StageSpec, ...]
    tasks: dict[TaskId, TaskState]
    runs: dict[int, RunState] = field(default_factory=dict)
    nodes: dict[Node, NodeState] = field(default_factory=dict)
    joining: dict[Node, float] = field(default_factory=dict)
    """Node that is about to be usable → until when tasks wait for it."""
    seconds: dict[int, list[float]] = field(default_factory=dict)
    """Stage → how long its finished tasks took, the shortest first."""
    paces: dict[int, list[float]] = field(default_factory=dict)
    """Stage → how long they took as a multiple of what was guessed from their bytes, the least first."""
    dropped: set[int] = field(default_factory=set)
    counts: Counts = field(default_factory=Counts)
    next_run: int = 0

    @staticmethod
    def of(stages: tuple[StageSpec, ...]) -> "State":
        """Return the state before anything runs."""
        tasks = {TaskId(s, t): TaskState() for s, stage in enumerate(stages) for t in range(len(stage.tasks))}
        return State(stages, tasks)

    def spec(self, task: TaskId) -> TaskSpec:
        """Return what is known of a task before it runs."""
        return self.stages[task.stage].tasks[task.number]

    def tasks_of(self, stage: int) -> Iterator[tuple[TaskId, TaskState]]:
        """Yield a stage's tasks in their order."""
        for number in range(len(self.stages[stage].tasks)):
            task = TaskId(stage, number)
            yield task, self.tasks[task]

    def runs_of(self, stages: Iterable[int]) -> list[int]:
        """Return the runs whose output is that of the tasks of stages."""
        return [task.run for stage in stages for _, task in self.tasks_of(stage) if task.run is not None]

    def is_complete(self, stage: int) -> bool:
        """Whether all output of a stage is to be had."""
        return all(task.is_done for _, task in self.tasks_of(stage))

    def needed_stages(self) -> list[int]:
        """Return the stages whose output some unfinished task needs, in the order in which they run; the result's too.

        A stage whose output was dropped or lost is needed again only when one of those that read it is.
        """
        last = len(self.stages) - 1
        needed: set[int] = set()
        wanted = [last] if not self.is_complete(last) else []
        while wanted:
            stage = wanted.pop()
            if stage not in needed:
                needed.add(stage)
                wanted.extend(each for each in self.stages[stage].inputs if not self.is_complete(each))
        return sorted(needed)

    def ready(self) -> list[TaskId]:
        """Return the tasks that are needed, can run, and do not; first stages first."""
        return [
            task
            for stage in self.needed_stages()
            if all(self.is_complete(each) for each in self.stages[stage].inputs)
            for task, state in self.tasks_of(stage)
            if not state.is_done and not state.runs
        ]

    def may_run(self, task: TaskId, node: Node) -> bool:
        """Whether a node is of the kind that may run a task: burst nodes only scan, the result is the head's."""
        stage, state = self.stages[task.stage], self.nodes[node]
        if stage.is_result:
            return state.is_head
        return stage.is_scan or not state.is_burst

    def guessed_seconds(self, task: TaskId) -> float:
        """Return how long a task would take by its bytes alone."""
        return STEADY_SECONDS + self.spec(task).scan_bytes / GUESSED_BYTES_PER_SECOND

    def expected_seconds(self, task: TaskId, now: float) -> float:
        """Return how long a task will take in all: from its finished siblings and its bytes, or else from these alone.

        A sibling that runs for longer than its bytes let expect is taken to be half done.
        """
        finished = self.paces.get(task.stage)
        if finished:
            return finished[len(finished) // 2] * self.guessed_seconds(task)
        shown = max((now - run.started for run in self.runs.values() if run.task.stage == task.stage), default=0.0)
        guessed = self.spec(task).scan_bytes / GUESSED_BYTES_PER_SECOND
        return guessed if shown <= guessed else 2 * shown

    def home(self, task: TaskId) -> Node | None:
        """Return the node that a task should run on: where its files belong, or most of what it reads was made."""
        spec = self.spec(task)
        if spec.home is not None:
            return spec.home
        sizes: dict[Node, int] = {}
        for stage, partitions in spec.inputs:
            read = set(partitions)
            for _, state in self.tasks_of(stage):
                if state.node is not None:
                    size = sum(made.size for made in state.made if made.partition in read)
                    sizes[state.node] = sizes.get(state.node, 0) + size
        return max(sizes, key=lambda node: (sizes[node], node), default=None)

    def inputs(self, task: TaskId) -> tuple[tuple[int, int, tuple[tuple[Node, Made], ...]], ...]:
        """Return the pieces that a task reads, of each stage and partition in the order of the tasks that made them."""
        found: dict[tuple[int, int], list[tuple[Node, Made]]] = {}
        for stage, partitions in self.spec(task).inputs:
            for partition in partitions:
                found[stage, partition] = []
            for _, state in self.tasks_of(stage):
                for made in state.made:
                    if state.node is not None and (stage, made.partition) in found:
                        found[stage, made.partition].append((state.node, made))
        return tuple((stage, partition, tuple(pieces)) for (stage, partition), pieces in found.items())

    def fraction(self) -> float:
        """Return how much of all tasks is done, those of dropped stages included."""
        done = sum(state.is_done or task.stage in self.dropped for task, state in self.tasks.items())
        return done / len(self.tasks)
