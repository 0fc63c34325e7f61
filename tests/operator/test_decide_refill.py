"""How fast nodes are made while claims go on."""

import pytest
from firn_operator.decide.refill import pause_beside_claims

KEPT = 300


@pytest.mark.parametrize(
    ("free", "waiting", "pause"),
    [
        pytest.param(300, 0, 0.05, id="a full pool"),
        pytest.param(900, 0, 0.05, id="more than it keeps"),
        pytest.param(150, 0, 0.035, id="half of it"),
        pytest.param(45, 0, 0.0245, id="nearly as evenly until a seventh is left"),
        pytest.param(30, 0, 0.0115, id="then faster"),
        pytest.param(15, 0, None, id="at last at once"),
        pytest.param(0, 9, None, id="claims wait for nodes"),
        pytest.param(300, 2, 0.07, id="claims wait for the API server"),
        pytest.param(300, 500, 0.15, id="however many: nodes are made"),
    ],
)
def test_the_pause_after_a_node(free: int, waiting: int, pause: float | None) -> None:
    assert pause_beside_claims(free, KEPT, waiting) == (pause if pause is None else pytest.approx(pause))


def test_a_pool_that_keeps_nothing_makes_nodes_at_once() -> None:
    assert pause_beside_claims(0, 0, 1) is None


def test_a_run_of_claims_never_finds_the_pool_dry() -> None:
    """45 claims a second on a pool of 1,000 for two minutes; a node is made in 9 ms and boots in 4.3 s."""
    step, booting, made, free = 0.01, list[float](), 0.0, 1000.0
    for tick in range(int(120 / step)):
        pause, before = pause_beside_claims(int(free), 1000, 0), int(made)
        if 1000 - free - len(booting) > 0:
            made += step / (0.009 + pause) if pause is not None else step * 70  # eight at a time
        booting += [tick * step + 4.3] * (int(made) - before)
        ready = [at for at in booting if at <= tick * step]
        booting = booting[len(ready) :]
        free += len(ready) - 45 * step
        assert free > 20
