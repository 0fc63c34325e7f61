"""The picture of a resume's steps."""

from datetime import UTC, datetime, timedelta

from firn_local.timeline import WIDTH, timeline
from hypothesis import given
from hypothesis import strategies as st

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def at(milliseconds: float) -> datetime:
    return BEGIN + timedelta(milliseconds=milliseconds)


def test_each_step_has_its_time_and_its_place() -> None:
    assert timeline(BEGIN, [("claimed", at(30)), ("bound", at(40)), ("accepted", at(10))]) == [
        "accepted      10.0 ms  ███████████",
        "claimed       20.0 ms             ██████████████████████",
        "bound         10.0 ms                                   ███████████",
        "total         40.0 ms",
    ]


def test_no_steps() -> None:
    assert timeline(BEGIN, []) == []


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.integers(-5, 10_000).map(at)), min_size=1))
def test_every_bar_is_seen_and_fits(steps: list[tuple[str, datetime]]) -> None:
    lines = timeline(BEGIN, steps)
    assert len(lines) == len(steps) + 1
    for line in lines[:-1]:
        bar = line.partition(" ms  ")[2]
        assert bar.strip()
        assert len(bar) <= WIDTH + 1
