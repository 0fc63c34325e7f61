"""Which ready task starts on which free node: at home, where one is free, or stolen when it ends sooner there.

A home that is about to be usable is waited for, within a bound: what joins first would do the others' tasks otherwise.

Source: NSDI'20 paper, section 6.1, consistent hashing with work stealing: an idle node takes a task when it expects to
end it sooner than the task's home would; it reads from the object store and does not cache.
"""

from collections.abc import Iterator

from firn_runtime.schedule.state import RunState, State
from firn_runtime.schedule.words import Node, TaskId, Why

STOLEN_COST = 1.3
"""A task takes longer by this factor away from its home: nothing of what it reads is cached there."""
STRAGGLER_FACTOR = 3.0
STRAGGLER_SECONDS = 2.0
"""A task that runs longer than its finished siblings' median by the factor, and than the seconds, gets a second run."""


def placements(state: State, now: float) -> Iterator[tuple[TaskId, Node, Why]]:
    """Yield what may start now; the caller starts each before it asks for the next."""
    ready = state.ready()
    homes = {task: state.home(task) for task in ready}
    waiting: list[TaskId] = []
    for task in ready:
        home = homes[task]
        if home is not None and now < state.joining.get(home, now):
            continue
        if home not in state.nodes or not state.nodes[home].wanted or not state.may_run(task, home):
            if (node := _freest(state, task)) is not None:
                yield task, node, Why.FREE
        elif state.nodes[home].free > 0:
            yield task, home, Why.HOME
        elif state.spec(task).home is None:  # all nodes fetch most of what it reads: no reason to wait
            if (node := _freest(state, task)) is not None:
                yield task, node, Why.FREE
        else:
            waiting.append(task)
    yield from _stolen(state, waiting, homes, now)
    yield from _doubled(state, now)


def _freest(state: State, task: TaskId, without: Node | None = None) -> Node | None:
    """Return the node with the most free slots that may run a task."""
    free = [node for node, each in state.nodes.items() if each.free > 0 and node != without]
    fit = [node for node in free if state.may_run(task, node)]
    return max(fit, key=lambda node: (state.nodes[node].free, node), default=None)


def _stolen(
    state: State, waiting: list[TaskId], homes: dict[TaskId, Node | None], now: float
) -> Iterator[tuple[TaskId, Node, Why]]:
    """Yield tasks, from the end of their home's queue, that end sooner on a free node."""
    queue = list(waiting)
    for task in reversed(waiting):
        node = _freest(state, task)
        home = homes[task]
        if node is None or home is None:
            continue
        ahead = sum(homes[each] == home for each in queue) - 1
        expected = state.expected_seconds(task, now)
        if expected * STOLEN_COST < _wait_seconds(state, home, ahead, expected, now) + expected:
            queue.remove(task)
            yield task, node, Why.STOLEN


def _wait_seconds(state: State, home: Node, ahead: int, expected: float, now: float) -> float:
    """Return when a task behind `ahead` others will start on its home."""
    node = state.nodes[home]
    left = [max(0.0, state.expected_seconds(run.task, now) - (now - run.started)) for run in _runs(state, home)]
    return min(left, default=0.0) + ahead // max(1, node.slots) * expected


def _runs(state: State, node: Node) -> list[RunState]:
    return [state.runs[run] for run in state.nodes[node].runs]


def _doubled(state: State, now: float) -> Iterator[tuple[TaskId, Node, Why]]:
    """Yield stragglers that a free node runs a second time."""
    for run in list(state.runs.values()):
        finished = state.seconds.get(run.task.stage, ())
        if state.stages[run.task.stage].is_result or not finished or len(state.tasks[run.task].runs) > 1:
            continue
        longest = max(STRAGGLER_SECONDS, STRAGGLER_FACTOR * finished[len(finished) // 2])
        if now - run.started > longest and (node := _freest(state, run.task, without=run.node)) is not None:
            yield run.task, node, Why.DOUBLED
