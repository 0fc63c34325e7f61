"""What statements need: estimates of unknown ones, what is learnt, and the shape by which they are known again."""

import pytest
from firn_services.decide.need import ANY_DOP, Need
from firn_services.decide.needs import Learnt, Used, estimate, learn, need, rounded_up
from firn_services.sql.fingerprint import fingerprint
from hypothesis import given
from hypothesis import strategies as st

MIB = 1 << 20
GIB = 1 << 30


@pytest.mark.parametrize(
    ("learnt", "file_bytes", "expected"),
    [
        pytest.param(None, 0, Need(0, 1, 1, 1), id="unknown, reads nothing: one process"),
        pytest.param(None, 100 * MIB, Need(112 * MIB, 32, 8), id="unknown: a whole one, its files in memory"),
        pytest.param(None, 99 * GIB, Need(GIB, 32, 8), id="unknown and large: its share of the memory"),
        pytest.param(Learnt(9, 0, 0, 0.004, 0.01, 0), GIB, Need(0, 1, 1, 1), id="known to be small"),
        pytest.param(Learnt(9, 2.0 * GIB, 0, 0.7, 1, 0), 0, Need(2 * GIB, 8, 2, 8), id="a process for each 0.1 s"),
        pytest.param(Learnt(9, 2.0 * GIB, GIB / 2, 99, 9, 0), 0, Need(3 * GIB, 32, 8), id="two deviations above"),
    ],
)
def test_needs_on_clusters_of_32_processes(learnt: Learnt | None, file_bytes: int, expected: Need) -> None:
    assert need(estimate(learnt, file_bytes), most_dop=32, share_bytes=GIB) == expected


def test_estimates_follow_what_is_used() -> None:
    small, large = Used(100 * MIB, 0, 1.0, 2.0, 10 * MIB), Used(300 * MIB, 100 * MIB, 3.0, 4.0, 90 * MIB)
    learnt = learn(None, small)
    for _ in range(10):
        learnt = learn(learnt, small)
    assert learnt.samples == 11
    assert learnt.cpu_seconds == pytest.approx(1.0)
    for _ in range(30):
        learnt = learn(learnt, large)
    found = estimate(learnt, 0)
    assert found.run_seconds == pytest.approx(4.0, rel=0.01)
    assert found.memory_bytes is not None
    assert 400 * MIB <= found.memory_bytes <= 440 * MIB  # memory and what was spilled


@given(st.lists(st.integers(1, 10 * GIB), min_size=1, max_size=30))
def test_an_estimate_is_never_below_the_least_or_far_above_the_most(used: list[int]) -> None:
    learnt = None
    for memory in used:
        learnt = learn(learnt, Used(memory, 0, 0, 0, 0))
    assert learnt is not None
    found = estimate(learnt, 0).memory_bytes
    assert found is not None
    assert min(used) <= found + 1
    assert found <= 3 * max(used) + 1


@given(st.integers(1, 1 << 50))
def test_memory_is_rounded_up_to_few_values(count: int) -> None:
    assert count <= rounded_up(count) <= max(count * 1.25, MIB)
    assert rounded_up(rounded_up(count)) == rounded_up(count)


def test_dop_has_no_upper_limit_for_what_is_long_or_unknown() -> None:
    assert need(estimate(None, GIB), 8, GIB).highest_dop == ANY_DOP


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("SELECT 1", "SELECT 22.5", True),
        ("SELECT a FROM t WHERE b = 'x'", "SELECT a FROM t\n  WHERE b = 'it''s'", True),
        ("SELECT a FROM t WHERE b IN (1, 2, 3)", "SELECT a FROM t WHERE b IN (9)", True),
        ("SELECT a FROM t WHERE b = 1", "SELECT a FROM t WHERE c = 1", False),
        ("SELECT a FROM t", "SELECT a FROM u", False),
        ('SELECT "a" FROM t', "SELECT 'a' FROM t", False),
    ],
)
def test_statements_have_one_shape_when_only_literals_differ(one: str, other: str, same: bool) -> None:
    assert (fingerprint(one) == fingerprint(other)) is same
