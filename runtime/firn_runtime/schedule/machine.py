"""The schedule's transitions: an event changes the state and gives the instructions that follow from it.

In the manner of dask's worker state machine: the shell around it does the I/O, tests assert the instructions, and a
seeded simulation loses nodes at random. Rules (design.md, section 8, failure): a lost node's running tasks run again
elsewhere; of its lost output what is still needed is made again; starts are bounded, then one clear error.
"""

import bisect

from firn_runtime.schedule.placing import placements
from firn_runtime.schedule.state import NodeState, RunState, State
from firn_runtime.schedule.words import (
    DropPieces,
    Event,
    Finished,
    GiveUp,
    InputLost,
    Instruction,
    Made,
    Node,
    NodeJoining,
    NodeLost,
    NodeUnwanted,
    NodeUsable,
    StageSpec,
    StartTask,
    StopTask,
    TaskDone,
    TaskId,
    Ticked,
    Why,
)

MOST_STARTS = 6
"""So often a task starts, all causes together."""
JOINING_SECONDS = 1.0
"""So long a task waits for its home that is about to be usable: what is read there stays in its cache."""


class Schedule:
    """One statement's schedule."""

    def __init__(self, stages: tuple[StageSpec, ...]) -> None:
        self.state = State.of(stages)
        self._ended = False

    def handle(self, event: Event, now: float) -> list[Instruction]:
        """Take an event; return what to do. After Finished or GiveUp nothing follows any more."""
        if self._ended:
            return []
        instructions: list[Instruction] = []
        match event:
            case NodeJoining(node):
                self.state.joining.setdefault(node, now + JOINING_SECONDS)
            case NodeUsable(node, slots, is_burst, is_head):
                self.state.joining.pop(node, None)
                known = self.state.nodes.get(node)
                runs = known.runs if known is not None else set()
                self.state.nodes[node] = NodeState(slots, is_burst, is_head, runs=runs)
            case NodeUnwanted(node):
                self.state.joining.pop(node, None)
                if node in self.state.nodes:
                    self.state.nodes[node].wanted = False
            case NodeLost(node):
                self._lose(node)
            case TaskDone():
                instructions += self._done(event, now)
            case InputLost(run, node):
                self._end_run(run)
                self._forget_output(node)
                self.state.counts.retried += 1
            case Ticked():
                pass
        return instructions + self._next(now)

    def _lose(self, node: Node) -> None:
        """Forget a node, its runs and its output."""
        self.state.joining.pop(node, None)
        if node not in self.state.nodes:
            return
        for run in sorted(self.state.nodes[node].runs):
            self._end_run(run)
            self.state.counts.retried += 1
        del self.state.nodes[node]
        self.state.counts.lost_nodes.append(node)
        self._forget_output(node)

    def _forget_output(self, node: Node) -> None:
        """Take what was made on a node as gone, but for what is in the object store."""
        for state in self.state.tasks.values():
            if state.node == node and not (state.made and all(made.uri for made in state.made)):
                state.node, state.made = None, ()

    def _end_run(self, run: int) -> RunState | None:
        ended = self.state.runs.pop(run, None)
        if ended is not None:
            self.state.tasks[ended.task].runs.discard(run)
            if ended.node in self.state.nodes:
                self.state.nodes[ended.node].runs.discard(run)
        return ended

    def _done(self, event: TaskDone, now: float) -> list[Instruction]:
        ended = self._end_run(event.run)
        if ended is None:
            return []
        task = self.state.tasks[ended.task]
        task.run, task.node, task.made = event.run, ended.node, event.made
        took = now - ended.started
        bisect.insort(self.state.seconds.setdefault(ended.task.stage, []), took)
        pace = took / self.state.guessed_seconds(ended.task)
        bisect.insort(self.state.paces.setdefault(ended.task.stage, []), pace)
        if self.state.nodes[ended.node].is_burst:
            self.state.counts.burst += 1
            self.state.counts.burst_nodes.add(ended.node)
        stops: list[Instruction] = []
        for other in sorted(task.runs):
            stops.append(StopTask(other, self.state.runs[other].node))
            self._end_run(other)
        return stops + self._drops(ended.task.stage)

    def _drops(self, stage: int) -> list[Instruction]:
        """Return what may be forgotten when this stage is done: its inputs that no unfinished stage reads."""
        state = self.state
        drops: list[Instruction] = []
        if not state.is_complete(stage):
            return drops
        for each in state.stages[stage].inputs:
            readers = [number for number, spec in enumerate(state.stages) if each in spec.inputs]
            if each in state.dropped or not all(
                reader in state.dropped or state.is_complete(reader) for reader in readers
            ):
                continue
            state.dropped.add(each)
            by_node: dict[Node, list[Made]] = {}
            for _, task in state.tasks_of(each):
                if task.node is not None:
                    by_node.setdefault(task.node, []).extend(task.made)
                task.node, task.made = None, ()
            drops += [
                DropPieces(node, tuple(one.name for one in made), sum(one.size for one in made))
                for node, made in sorted(by_node.items())
                if made
            ]
        return drops

    def _next(self, now: float) -> list[Instruction]:
        """Return the end, or what starts now."""
        state = self.state
        if state.is_complete(len(state.stages) - 1):
            self._ended = True
            stops: list[Instruction] = [StopTask(number, run.node) for number, run in sorted(state.runs.items())]
            return [*stops, Finished()]
        if not any(node.is_head for node in state.nodes.values()) and state.counts.lost_nodes:
            return self._give_up("the head's engine was lost")
        instructions: list[Instruction] = []
        for task, node, why in placements(state, now):
            if state.tasks[task].starts >= MOST_STARTS:
                return [*instructions, *self._give_up(f"task {task} was lost {MOST_STARTS} times")]
            instructions.append(self._start(task, node, why, now))
        return instructions

    def _give_up(self, reason: str) -> list[Instruction]:
        self._ended = True
        return [GiveUp(reason)]

    def _start(self, task: TaskId, node: Node, why: Why, now: float) -> StartTask:
        state = self.state
        run = state.next_run
        state.next_run += 1
        state.runs[run] = RunState(task, node, now)
        state.tasks[task].starts += 1
        state.tasks[task].runs.add(run)
        state.nodes[node].runs.add(run)
        state.dropped.discard(task.stage)
        state.counts.tasks += 1
        state.counts.stolen += why is Why.STOLEN
        state.counts.doubled += why is Why.DOUBLED
        return StartTask(run, task, node, why, state.inputs(task))
