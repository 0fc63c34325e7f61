"""Whether a running statement's remaining scans are long enough to gain from burst nodes. Pure.

Source: seed article, "Query acceleration"; which nodes may scan: schedule/state.py.
"""

from firn_model.messages import BurstOffer, BurstWish

from firn_runtime.schedule.state import State
from firn_runtime.schedule.words import TaskId


def burst_wish(state: State, offer: BurstOffer | None, now: float) -> BurstWish | None:
    """Return how many burst nodes a statement wants now in all, or None when it gains too little.

    The scans' remaining seconds are those of its own nodes at the pace that its scan tasks have shown.
    """
    if offer is None:
        return None
    left = [task for stage in state.needed_stages() if state.stages[stage].is_scan for task in _left(state, stage, now)]
    own = sum(node.slots for node in state.nodes.values() if not node.is_burst and node.wanted)
    if not left or not own:
        return None
    remaining_bytes = sum(state.spec(task).scan_bytes for task, _ in left)
    begun = sum(now - run.started for run in state.runs.values() if state.stages[run.task.stage].is_scan)
    remaining_seconds = max(0.0, sum(seconds for _, seconds in left) - begun) / own
    if remaining_bytes < offer.min_scan_bytes or remaining_seconds < offer.min_seconds:
        return None
    slots = max(node.slots for node in state.nodes.values())
    nodes = min(offer.most_nodes, -(-sum(_is_for_bursts(state, task) for task, _ in left) // slots))
    if nodes < 1:
        return None
    return BurstWish(nodes=nodes, remaining_bytes=remaining_bytes, remaining_seconds=remaining_seconds)


def _left(state: State, stage: int, now: float) -> list[tuple[TaskId, float]]:
    """Return a stage's tasks that are not done, and how long each will take in all."""
    return [(task, state.expected_seconds(task, now)) for task, each in state.tasks_of(stage) if not each.is_done]


def _is_for_bursts(state: State, task: TaskId) -> bool:
    """Whether a task that is not done waits, or runs on burst nodes alone: they are to be kept until it is done."""
    return all(state.nodes[state.runs[run].node].is_burst for run in state.tasks[task].runs)
