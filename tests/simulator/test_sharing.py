"""Statements share the processors of their cluster as a fluid."""

from datetime import timedelta

import pytest
from firn_simulator.clock import EPOCH
from firn_simulator.sharing import Sharing


def run(sharing: Sharing) -> list[tuple[str, float]]:
    """Return each statement's end in seconds."""
    ends = []
    while (at := sharing.next_end()) is not None:
        ends += [(key, round((at - EPOCH).total_seconds(), 3)) for key in sharing.ended(at)]
    return ends


def seconds(value: float) -> timedelta:
    return timedelta(seconds=value)


@pytest.mark.parametrize(
    ("nodes", "statements", "expected"),
    [
        pytest.param(1, [("a", 8, 8)], [("a", 1.0)], id="alone, on all processors"),
        pytest.param(1, [("a", 8, 1)], [("a", 8.0)], id="alone, on one processor"),
        pytest.param(4, [("a", 8, 1)], [("a", 8.0)], id="four nodes, one processor in all"),
        pytest.param(4, [("a", 64, 32)], [("a", 2.0)], id="four nodes, all processors"),
        pytest.param(1, [("a", 8, 8), ("b", 8, 8)], [("a", 2.0), ("b", 2.0)], id="two share evenly"),
        pytest.param(1, [("a", 8, 8), ("b", 16, 8)], [("a", 2.0), ("b", 3.0)], id="the rest has all for itself"),
        pytest.param(1, [("a", 2, 1), ("b", 2, 1)], [("a", 2.0), ("b", 2.0)], id="no sharing while there is enough"),
    ],
)
def test_statements_share(
    nodes: int, statements: list[tuple[str, float, int]], expected: list[tuple[str, float]]
) -> None:
    sharing = Sharing(8, nodes, EPOCH)
    sharing.set_nodes(nodes, EPOCH)
    for key, work, dop in statements:
        sharing.add(key, work, dop, EPOCH)
    assert run(sharing) == expected


def test_all_go_faster_when_nodes_join() -> None:
    sharing = Sharing(8, 4, EPOCH)
    sharing.add("a", 40, 32, EPOCH)
    sharing.add("b", 3, 1, EPOCH)
    sharing.set_nodes(4, EPOCH + seconds(1))
    assert run(sharing) == [("a", pytest.approx(2.03, abs=0.1)), ("b", pytest.approx(3.2, abs=0.2))]
    assert sharing.busy_core_seconds == pytest.approx(43, abs=1e-3)


def test_a_stopped_statement_leaves_its_share() -> None:
    sharing = Sharing(8, 1, EPOCH)
    sharing.add("a", 8, 8, EPOCH)
    sharing.add("b", 8, 8, EPOCH)
    sharing.stop("a", EPOCH + seconds(1))
    assert run(sharing) == [("b", 1.5)]
