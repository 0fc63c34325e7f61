"""How many burst nodes a running statement asks for."""

import pytest
from firn_model.messages import BurstOffer, BurstWish
from firn_runtime.schedule.machine import Schedule
from firn_runtime.schedule.words import NodeUsable, StageSpec, TaskDone, TaskSpec
from firn_runtime.statements.bursting import burst_wish

TASK_BYTES = 1_000_000_000
TASK_SECONDS = 10.0
OFFER = BurstOffer(most_nodes=4, min_scan_bytes=TASK_BYTES, min_seconds=TASK_SECONDS)


def scanning(tasks: int, bursts: int = 0) -> Schedule:
    """Return a scan of tasks of ten seconds each, begun on a head of one process and on burst nodes."""
    scan = StageSpec(tuple(TaskSpec(scan_bytes=TASK_BYTES) for _ in range(tasks)), is_scan=True)
    result = StageSpec((TaskSpec(inputs=((0, (0,)),)),), inputs=(0,), is_result=True)
    schedule = Schedule((scan, result))
    schedule.handle(NodeUsable("head", 1, is_head=True), 0)
    for number in range(bursts):
        schedule.handle(NodeUsable(f"burst-{number}", 1, is_burst=True), 0)
    return schedule


def wish(nodes: int, tasks: int, seconds: float) -> BurstWish:
    return BurstWish(nodes=nodes, remaining_bytes=tasks * TASK_BYTES, remaining_seconds=seconds)


@pytest.mark.parametrize(
    ("tasks", "bursts", "offer", "now", "expected"),
    [
        pytest.param(4, 0, None, 0, None, id="nothing is offered"),
        pytest.param(4, 0, OFFER, 0, wish(3, 4, 40), id="one for each task that waits"),
        pytest.param(9, 0, OFFER, 0, wish(4, 9, 90), id="no more than is offered"),
        pytest.param(4, 2, OFFER, 0, wish(3, 4, 40), id="those that work for it are wanted still"),
        pytest.param(3, 2, OFFER, 5, wish(2, 3, 15), id="until their tasks are done"),
        pytest.param(2, 0, OFFER, 9.5, wish(1, 2, 10.5), id="just long enough"),
        pytest.param(2, 0, OFFER, 12, wish(1, 2, 36), id="who runs for longer shows that the others will"),
        pytest.param(2, 0, OFFER.model_copy(update={"min_seconds": 11}), 9.5, None, id="too few seconds are left"),
        pytest.param(1, 0, OFFER, 0, None, id="nothing waits"),
        pytest.param(4, 0, OFFER.model_copy(update={"min_scan_bytes": 5 * TASK_BYTES}), 0, None, id="too few bytes"),
    ],
)
def test_wishes(tasks: int, bursts: int, offer: BurstOffer | None, now: float, expected: BurstWish | None) -> None:
    assert burst_wish(scanning(tasks, bursts).state, offer, now) == expected


def test_what_is_done_is_wished_for_no_more() -> None:
    schedule = scanning(4, bursts=1)
    done = {run.node: number for number, run in schedule.state.runs.items()}
    schedule.handle(TaskDone(done["burst-0"], ()), 10)
    assert burst_wish(schedule.state, OFFER, 10) == wish(2, 3, 20)
