"""Whether two answers are the same: the comparison behind the demo and the end-to-end tests."""

from decimal import Decimal

import pyarrow as pa
import pytest
from firn_local.answers import Answer, difference, same
from firn_local.tpch import as_answer, sort_columns
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("expected", "actual", "scales", "equal"),
    [
        pytest.param(Decimal("1.10"), Decimal("1.10"), (2, 2), True, id="same decimal"),
        pytest.param(Decimal("1.10"), Decimal("1.11"), (2, 2), False, id="sums are exact to the last digit"),
        pytest.param(Decimal("1.1"), Decimal("1.1000"), (1, 4), True, id="other scale, same number"),
        pytest.param(Decimal("0.666667"), Decimal("0.6666"), (6, 4), True, id="cut at the lower scale"),
        pytest.param(
            Decimal("0.666667"), Decimal("0.6664"), (6, 4), False, id="more than the last digit at the lower scale"
        ),
        pytest.param(25.5373587, Decimal("25.537359"), (None, 6), True, id="an average as float and as decimal"),
        pytest.param(25.5373587, Decimal("25.537350"), (None, 6), False, id="an average that is off"),
        pytest.param(348406.02, Decimal("348406.054285"), (None, 6), False, id="a quotient that is off"),
        pytest.param(1.0, 1.0 + 1e-10, (None, None), True, id="floats within 1e-9"),
        pytest.param(1.0, 1.0 + 1e-8, (None, None), False, id="floats apart"),
        pytest.param(float("nan"), float("nan"), (None, None), True, id="not a number, twice"),
        pytest.param(float("nan"), Decimal("1"), (None, 0), False, id="not a number and one"),
        pytest.param(5, Decimal("5"), (None, 0), True, id="a count as decimal"),
        pytest.param(5, Decimal("6"), (None, 0), False, id="another count"),
        pytest.param(1.5, 1, (None, None), False, id="a float is no integer"),
        pytest.param(None, None, (None, None), True, id="NULL"),
        pytest.param(None, 0, (None, None), False, id="NULL is not 0"),
        pytest.param("a", "a", (None, None), True, id="text"),
        pytest.param("a", "A", (None, None), False, id="text in other case"),
        pytest.param("1", 1, (None, None), False, id="text is no number"),
        pytest.param(True, 1, (None, None), False, id="truth is no number"),
    ],
)
def test_same(expected: object, actual: object, scales: tuple[int | None, int | None], equal: bool) -> None:
    assert same(expected, actual, scales) is equal


def answer(*rows: tuple[object, ...], names: tuple[str, ...] = ("k", "v")) -> Answer:
    return Answer(names, (None,) * len(names), rows)


@pytest.mark.parametrize(
    ("expected", "actual", "order_by", "words"),
    [
        pytest.param(answer((1, "a"), (2, "b")), answer((1, "a"), (2, "b")), ("k",), None, id="same"),
        pytest.param(answer((1, "a"), (2, "b")), answer((2, "b"), (1, "a")), (), None, id="no order asked"),
        pytest.param(answer((1, "a"), (2, "b")), answer((2, "b"), (1, "a")), ("k",), "row 1, column k", id="order"),
        pytest.param(answer((1, "a"), (1, "b")), answer((1, "b"), (1, "a")), ("k",), None, id="ties in any order"),
        pytest.param(answer((1, "a"), (1, "b")), answer((1, "b"), (1, "b")), ("k",), "column v", id="ties differ"),
        pytest.param(answer((1, "a")), answer((1, "a"), (1, "a")), (), "2 rows; expected 1", id="rows"),
        pytest.param(answer((1, "a")), answer((1, "a"), names=("K", "V")), ("k",), None, id="names in other case"),
        pytest.param(answer((1, "a")), answer((1, "a"), names=("k", "w")), (), "columns are k, w", id="names"),
        pytest.param(
            answer((1, 2), names=("k", "sum(v)")), answer((1, 2), names=("k", "SUM(t.V)")), ("k",), None, id="unnamed"
        ),
        pytest.param(
            answer((1, 2), names=("k", "sum(v)")), answer((1, 2), names=("k", "v")), (), "columns", id="named"
        ),
        pytest.param(answer(), answer(), ("k",), None, id="no rows"),
        pytest.param(answer((None, "a"), (1, "b")), answer((1, "b"), (None, "a")), (), None, id="NULL among numbers"),
    ],
)
def test_difference(expected: Answer, actual: Answer, order_by: tuple[str, ...], words: str | None) -> None:
    found = difference(expected, actual, order_by)
    assert (found is None) if words is None else (found is not None and words in found)


def test_ties_are_paired_by_their_exact_columns_when_others_are_only_near() -> None:
    expected = Answer(("v", "k"), (None, None), ((0.1 + 0.2, "a"), (0.3, "b")))
    actual = Answer(("v", "k"), (None, None), ((0.3, "a"), (0.1 + 0.2, "b")))
    assert difference(expected, actual) is None


rows = st.lists(st.tuples(st.none() | st.integers(-5, 5), st.none() | st.text(max_size=2)), max_size=12)


@given(rows, st.randoms(use_true_random=False))
def test_any_order_is_the_same_without_order_by(some: list[tuple[object, ...]], random: object) -> None:
    shuffled = list(some)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert difference(answer(*some), answer(*shuffled)) is None


@given(rows, rows)
def test_the_same_means_the_same_rows(left: list[tuple[object, ...]], right: list[tuple[object, ...]]) -> None:
    equal = sorted(left, key=repr) == sorted(right, key=repr)
    assert (difference(answer(*left), answer(*right)) is None) is equal


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ("select a from t order by a", ("a",)),
        ("select a from t order by\n  Revenue desc,\n  o_date\nlimit 10;\n", ("revenue", "o_date")),
        ("select a from (select b from t order by b)", ()),
        ("select rank() over (order by x) from t", ()),
        ("select a from t", ()),
    ],
)
def test_sort_columns(sql: str, columns: tuple[str, ...]) -> None:
    assert sort_columns(sql) == columns


def test_an_arrow_table_keeps_the_declared_scales() -> None:
    table = pa.table({"n": [1, None], "d": pa.array([Decimal("1.50"), None], pa.decimal128(15, 2))})
    assert as_answer(table) == Answer(("n", "d"), (None, 2), ((1, Decimal("1.50")), (None, None)))
