"""The arithmetic of bench/."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from measures import ANSWERED, Sample, Summary, breakdown, most_overtaken, percentile, step_summaries
from pool import Counts

START = datetime(2026, 1, 1, tzinfo=UTC)
values = st.lists(st.floats(0, 1e6), min_size=1, max_size=400)


@pytest.mark.parametrize(
    ("percent", "expected"),
    [
        pytest.param(50, 5, id="median of ten is the fifth"),
        pytest.param(90, 9, id="ninth"),
        pytest.param(99, 10, id="rounded up"),
        pytest.param(100, 10, id="maximum"),
        pytest.param(1, 1, id="minimum"),
    ],
)
def test_nearest_rank(percent: float, expected: float) -> None:
    assert percentile([7, 3, 10, 1, 9, 5, 4, 2, 8, 6], percent) == expected


@given(values, st.floats(0.1, 100))
def test_a_percentile_is_a_value_that_enough_do_not_exceed(numbers: list[float], percent: float) -> None:
    found = percentile(numbers, percent)
    assert found in numbers
    assert sum(value <= found for value in numbers) >= len(numbers) * percent / 100 - 1e-9
    assert sum(value < found for value in numbers) < len(numbers) * percent / 100 + 1e-9


@pytest.mark.parametrize(("numbers", "percent"), [([], 50), ([1.0], 0), ([1.0], 101)])
def test_what_has_no_percentile(numbers: list[float], percent: float) -> None:
    with pytest.raises(ValueError, match="percent"):
        percentile(numbers, percent)


def test_a_summary_is_in_milliseconds() -> None:
    assert Summary.of([0.001, 0.002, 0.003]).as_json() == {
        "n": 3,
        "p50_ms": 2.0,
        "p90_ms": 3.0,
        "p99_ms": 3.0,
        "max_ms": 3.0,
    }


def at(milliseconds: float) -> datetime:
    return START + timedelta(milliseconds=milliseconds)


def test_steps_are_in_the_order_of_time_and_sum_up_to_the_whole() -> None:
    steps = [("bound", at(30)), ("accepted", at(4)), ("claimed", at(20))]
    durations = breakdown(START, steps, at(50))
    assert durations == pytest.approx({"accepted": 0.004, "claimed": 0.016, "bound": 0.010, ANSWERED: 0.020})


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 100).map(at))))
def test_nothing_is_lost(steps: list[tuple[str, datetime]]) -> None:
    assert sum(breakdown(START, steps, at(100)).values()) == pytest.approx(0.1)


def test_step_summaries_end_with_the_answer() -> None:
    samples = [Sample("x", 1, {"a": 1.0, ANSWERED: 1.0}), Sample("x", 1, {"a": 3.0, "b": 2.0, ANSWERED: 5.0})]
    found = step_summaries(samples)
    assert list(found) == ["a", "b", ANSWERED]
    assert found["a"].p50_ms == 1000.0
    assert found["b"].n == 1


@pytest.mark.parametrize(
    ("line", "expected"),
    [("2 0 2 5 1\n", Counts(2, 0, 2, 5, 1)), ("  2  \n", None), ("", None), ("a b c d e", None)],
)
def test_a_line_of_kubectl(line: str, expected: Counts | None) -> None:
    assert Counts.parse(line) == expected


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        pytest.param([], 0, id="none"),
        pytest.param([(0, 1), (1, 2), (2, 3)], 0, id="in the order of asking"),
        pytest.param([(0, 9), (1, 2), (2, 3)], 2, id="the first is served last"),
        pytest.param([(2, 1), (0, 2), (1, 3)], 1, id="asked in another order than listed"),
    ],
)
def test_most_overtaken(times: list[tuple[float, float]], expected: int) -> None:
    assert most_overtaken(times) == expected
