"""The schedule's instructions, and that it ends whatever nodes it loses."""

import random

import pytest
from firn_runtime.schedule.machine import JOINING_SECONDS, MOST_STARTS, Schedule
from firn_runtime.schedule.words import (
    DropPieces,
    Event,
    Finished,
    GiveUp,
    InputLost,
    Instruction,
    Made,
    NodeJoining,
    NodeLost,
    NodeUnwanted,
    NodeUsable,
    StageSpec,
    StartTask,
    StopTask,
    TaskDone,
    TaskId,
    TaskSpec,
    Ticked,
    Why,
)


def plan(homes: tuple[str | None, ...] = (None, None)) -> tuple[StageSpec, ...]:
    """Return a scan that is shuffled to two tasks, whose rows the result gathers."""
    return (
        StageSpec(tuple(TaskSpec(scan_bytes=100_000_000, home=home) for home in homes), is_scan=True),
        StageSpec(tuple(TaskSpec(inputs=((0, (number,)),)) for number in (0, 1)), inputs=(0,)),
        StageSpec((TaskSpec(inputs=((1, (0, 1)),)),), inputs=(1,), is_result=True),
    )


def made(run: int) -> tuple[Made, ...]:
    return tuple(Made(partition, f"{run}.{partition}", 10, 1) for partition in (0, 1))


def starts(instructions: list[Instruction]) -> list[tuple[str, str, Why]]:
    return [(str(i.task), i.node, i.why) for i in instructions if isinstance(i, StartTask)]


def begun(*nodes: str, homes: tuple[str | None, ...] = (None, None)) -> tuple[Schedule, list[Instruction]]:
    schedule = Schedule(plan(homes))
    told: list[Instruction] = []
    for number, node in enumerate(nodes):
        told += schedule.handle(NodeUsable(node, 1, is_head=number == 0), 0)
    return schedule, told


def test_stages_follow_each_other_and_drop_what_is_read() -> None:
    schedule, told = begun("h", "w")
    assert starts(told) == [("0.0", "h", Why.FREE), ("0.1", "w", Why.FREE)]
    assert schedule.handle(TaskDone(0, made(0)), 1) == []
    told = schedule.handle(TaskDone(1, made(1)), 1)
    assert {task for task, _, _ in starts(told)} == {"1.0", "1.1"}
    schedule.handle(TaskDone(2, made(2)), 2)
    told = schedule.handle(TaskDone(3, made(3)), 2)
    assert [type(i) for i in told] == [DropPieces, DropPieces, StartTask]
    assert starts(told) == [("2.0", "h", Why.HOME)] or starts(told) == [("2.0", "h", Why.FREE)]
    assert schedule.handle(TaskDone(4), 3)[-1] == Finished()
    assert schedule.handle(Ticked(), 4) == []


def test_a_lost_node_has_its_task_and_its_output_made_again() -> None:
    schedule, _ = begun("h", "w")
    schedule.handle(TaskDone(1, made(1)), 1)
    assert starts(schedule.handle(NodeLost("w"), 1)) == []
    assert starts(schedule.handle(TaskDone(0, made(0)), 2)) == [("0.1", "h", Why.FREE)]


def test_the_run_that_counts_is_the_last_that_was_done() -> None:
    schedule, _ = begun("h", "w")
    schedule.handle(TaskDone(0, made(0)), 1)
    schedule.handle(TaskDone(1, made(1)), 1)
    assert schedule.state.runs_of((0,)) == [0, 1]
    schedule.handle(NodeLost("w"), 2)
    (again,) = [i for i in schedule.handle(NodeUsable("x", 1), 2) if isinstance(i, StartTask)]
    schedule.handle(TaskDone(again.run, made(again.run)), 3)
    assert schedule.state.runs_of((0,)) == [0, again.run]


def test_what_is_in_the_object_store_outlives_its_node() -> None:
    schedule, _ = begun("h", "w")
    schedule.handle(TaskDone(1, tuple(Made(p, f"1.{p}", 10, 1, uri="s3://b/k") for p in (0, 1))), 1)
    schedule.handle(NodeLost("w"), 1)
    assert starts(schedule.handle(TaskDone(0, made(0)), 2))[0][0] == "1.0"


def test_a_task_that_cannot_read_has_its_input_made_again() -> None:
    schedule, _ = begun("h", "w")
    schedule.handle(TaskDone(0, made(0)), 1)
    told = schedule.handle(TaskDone(1, made(1)), 1)
    run = next(i.run for i in told if isinstance(i, StartTask) and i.node == "h")
    assert ("0.1", "h", Why.FREE) in starts(schedule.handle(InputLost(run, "w"), 2))


def test_a_task_waits_for_its_home_unless_another_ends_it_sooner() -> None:
    schedule, told = begun("w", homes=("w", "w"))
    assert starts(told) == [("0.0", "w", Why.HOME)]
    assert starts(schedule.handle(NodeUsable("x", 1), 0.0)) == [("0.1", "x", Why.STOLEN)]
    schedule, _ = begun("w", homes=("w", "w"))
    assert starts(schedule.handle(NodeUsable("x", 1), 0.9)) == []
    assert starts(schedule.handle(Ticked(), 1.1)) == [("0.1", "x", Why.STOLEN)], "its home is slower than was guessed"


def test_what_its_siblings_took_is_measured_by_their_bytes() -> None:
    """The home works on twice as much as the node that is done: it will be free later than that node was."""
    sizes = (("h", 1), ("w", 2), ("w", 1))
    scan = StageSpec(tuple(TaskSpec(scan_bytes=size * 100_000_000, home=home) for home, size in sizes), is_scan=True)
    schedule = Schedule((scan, StageSpec((TaskSpec(inputs=((0, (0,)),)),), inputs=(0,), is_result=True)))
    schedule.handle(NodeUsable("h", 1, is_head=True), 0)
    schedule.handle(NodeUsable("w", 1), 0)
    assert starts(schedule.handle(TaskDone(0, made(0)), 1)) == [("0.2", "h", Why.STOLEN)]


@pytest.mark.parametrize(
    ("event", "now", "started"),
    [
        pytest.param(Ticked(), JOINING_SECONDS - 0.01, [], id="it is waited for"),
        pytest.param(Ticked(), JOINING_SECONDS, [("0.1", "h", Why.FREE)], id="not for ever"),
        pytest.param(NodeUsable("w", 1), 0.1, [("0.1", "w", Why.HOME)], id="it comes"),
        pytest.param(NodeLost("w"), 0.1, [("0.1", "h", Why.FREE)], id="it is lost before it came"),
        pytest.param(NodeUnwanted("w"), 0.1, [("0.1", "h", Why.FREE)], id="it is not wanted any more"),
        pytest.param(NodeJoining("w"), JOINING_SECONDS, [("0.1", "h", Why.FREE)], id="it is named again"),
        pytest.param(NodeJoining("x"), 0.1, [], id="another joins"),
    ],
)
def test_a_task_waits_for_its_home_that_is_joining(event: Event, now: float, started: list[object]) -> None:
    schedule = Schedule(plan(("h", "w")))
    assert schedule.handle(NodeJoining("h"), 0) == []
    assert schedule.handle(NodeJoining("w"), 0) == []
    assert starts(schedule.handle(NodeUsable("h", 2, is_head=True), 0)) == [("0.0", "h", Why.HOME)]
    assert starts(schedule.handle(event, now)) == started


def test_a_straggler_gets_a_second_run_and_the_first_to_end_counts() -> None:
    schedule, _ = begun("h", "w")
    schedule.handle(TaskDone(0, made(0)), 1)
    assert starts(schedule.handle(Ticked(), 2.9)) == []
    assert starts(schedule.handle(Ticked(), 3.1)) == [("0.1", "h", Why.DOUBLED)]
    assert StopTask(1, "w") in schedule.handle(TaskDone(2, made(2)), 4)


def test_burst_nodes_scan_and_do_nothing_else() -> None:
    schedule = Schedule(plan())
    schedule.handle(NodeUsable("h", 1, is_head=True), 0)
    assert starts(schedule.handle(NodeUsable("b", 4, is_burst=True), 0)) == [("0.1", "b", Why.FREE)]
    schedule.handle(TaskDone(1, made(1)), 1)
    assert [node for _, node, _ in starts(schedule.handle(TaskDone(0, made(0)), 1))] == ["h"]


def test_starts_are_bounded() -> None:
    schedule, told = begun("h")
    for number in range(MOST_STARTS):
        schedule.handle(NodeUsable(f"w{number}", 1), 0)
        told = schedule.handle(InputLost(schedule.state.next_run - 1, "gone"), 0)
    while not any(isinstance(i, GiveUp) for i in told):
        run = min(schedule.state.runs)
        told = schedule.handle(InputLost(run, "gone"), 0)
    assert schedule.state.counts.retried <= 3 * MOST_STARTS + 1


@pytest.mark.parametrize("seed", range(60))
def test_a_statement_ends_whatever_workers_are_lost(seed: int) -> None:
    """Workers come and go at random; each start finds all it reads on nodes that live, and the end comes."""
    chance = random.Random(seed)
    schedule = Schedule(plan())
    live = {"h"}
    running: dict[int, StartTask] = {}
    told = schedule.handle(NodeUsable("h", 1, is_head=True), 0)
    for step in range(2000):
        for each in told:
            if isinstance(each, StartTask):
                assert each.node in live
                assert all(node in live for _, _, pieces in each.inputs for node, _ in pieces)
                assert all(pieces for _, _, pieces in each.inputs)
                running[each.run] = each
            elif isinstance(each, StopTask):
                running.pop(each.run)
        if any(isinstance(each, Finished | GiveUp) for each in told):
            return
        told = _happens(chance, schedule, live, running, step)
    raise AssertionError("it does not end")


def _happens(
    chance: random.Random, schedule: Schedule, live: set[str], running: dict[int, StartTask], step: int
) -> list[Instruction]:
    """Let a node come or go, or a task end."""
    now = float(step)
    if chance.random() < 0.1:
        live.add(node := f"w{step}")
        return schedule.handle(NodeUsable(node, chance.randint(1, 3)), now)
    if len(live) > 1 and chance.random() < 0.1:
        live.discard(node := chance.choice(sorted(live - {"h"})))
        for run in [run for run, start in running.items() if start.node == node]:
            del running[run]
        return schedule.handle(NodeLost(node), now)
    if not running:
        return schedule.handle(Ticked(), now)
    run = chance.choice(sorted(running))
    start = running.pop(run)
    return schedule.handle(TaskDone(run, made(run) if start.task.stage < 2 else ()), now)


def test_a_task_is_named_by_its_stage_and_number() -> None:
    assert str(TaskId(3, 1)) == "3.1"
