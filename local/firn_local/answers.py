"""Whether two engines gave the same answer to a query. Pure.

What must be equal: the columns and their names (an expression without a name is called differently by each engine), the
number of rows, the sequence of the sort keys, and every value. Rows that tie on the sort keys may come in any order.
Decimals of one scale must be the same to the last digit; where the declared types differ (an average or quotient, which
engines give different scales, or as a float) both are taken at the lower scale, where the last digit may be rounded or
cut; two floats may differ by 1e-9 of their size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext

FLOAT_TOLERANCE = 1e-9
FLOAT_DIGITS = 15
"""Digits of a float that mean something."""

Value = object
Row = tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What an engine answered: column names, the scale of each column that is a decimal (else None), rows."""

    names: tuple[str, ...]
    scales: tuple[int | None, ...]
    rows: tuple[Row, ...]


def difference(expected: Answer, actual: Answer, order_by: Sequence[str] = ()) -> str | None:
    """Return the first difference in words, or None when the answers are the same.

    ``order_by``: names of the columns that the query sorts by, most significant first; none: rows have no order.
    Names are compared without regard to case.
    """
    names = [_column(name) for name in expected.names]
    if names != [_column(name) for name in actual.names]:
        return f"columns are {', '.join(actual.names)}; expected {', '.join(expected.names)}"
    if len(expected.rows) != len(actual.rows):
        return f"{len(actual.rows)} rows; expected {len(expected.rows)}"
    keys = [names.index(name.lower()) for name in order_by]
    scales = tuple(zip(expected.scales, actual.scales, strict=True))
    for start, end in _runs(expected.rows, keys):
        for number, (want, have) in enumerate(_aligned(expected.rows, actual.rows, start, end, scales), start + 1):
            for name, left, right, pair in zip(expected.names, want, have, scales, strict=True):
                if not same(left, right, pair):
                    return f"row {number}, column {name}: {right!r}; expected {left!r}"
    return None


def same(expected: Value, actual: Value, scales: tuple[int | None, int | None]) -> bool:
    """Tell whether two values are the same; ``scales`` are the declared ones of the two columns."""
    if expected is None or actual is None:
        return expected is actual
    if isinstance(expected, bool) or isinstance(actual, bool) or not (_is_number(expected) and _is_number(actual)):
        return type(expected) is type(actual) and expected == actual
    if isinstance(expected, float) and isinstance(actual, float):
        return _same_floats(expected, actual)
    declared = [scale for scale in scales if scale is not None]
    if isinstance(expected, float) or isinstance(actual, float):
        return bool(declared) and _same_at(expected, actual, min(declared))
    if len(declared) == 2 and declared[0] != declared[1]:
        return _same_at(expected, actual, min(declared))
    return expected == actual


def _column(name: str) -> str:
    """Return a name to compare by; what is no plain name is an expression."""
    return name.lower() if name.replace("_", "a").isalnum() else "(expression)"


def _same_floats(expected: float, actual: float) -> bool:
    if math.isnan(expected) or math.isnan(actual):
        return math.isnan(expected) and math.isnan(actual)
    return math.isclose(expected, actual, rel_tol=FLOAT_TOLERANCE, abs_tol=0.0)


def _same_at(expected: Value, actual: Value, scale: int) -> bool:
    """Compare at a scale, where one engine may have rounded and the other cut; a float only as far as it is exact."""
    if any(isinstance(value, float) and not math.isfinite(value) for value in (expected, actual)):
        return False
    left, right = _decimal(expected), _decimal(actual)
    unit = Decimal(1).scaleb(-scale)
    if isinstance(expected, float) or isinstance(actual, float):
        unit = max(unit, abs(left).scaleb(-FLOAT_DIGITS))
    with localcontext(prec=80):
        return abs(left.quantize(unit.normalize()) - right.quantize(unit.normalize())) <= unit


def _decimal(value: Value) -> Decimal:
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(str(value))


def _is_number(value: Value) -> bool:
    return isinstance(value, (int, float, Decimal))


def _runs(rows: Sequence[Row], keys: Sequence[int]) -> list[tuple[int, int]]:
    """Return the ranges of rows that tie on the sort keys; without keys, one range of all."""
    runs: list[tuple[int, int]] = []
    start = 0
    for end in range(1, len(rows) + 1):
        if end == len(rows) or any(rows[end][key] != rows[start][key] for key in keys):
            runs.append((start, end))
            start = end
    return runs


def _aligned(
    expected: Sequence[Row],
    actual: Sequence[Row],
    start: int,
    end: int,
    scales: Sequence[tuple[int | None, int | None]],
) -> list[tuple[Row, Row]]:
    """Return the rows of a run in pairs; those that tie are sorted by their values, the exact columns first."""
    left, right = list(expected[start:end]), list(actual[start:end])
    if len(left) > 1:
        exact = [pair[0] == pair[1] and not _has_floats(left + right, at) for at, pair in enumerate(scales)]
        left.sort(key=lambda row: _sort_key(row, exact))
        right.sort(key=lambda row: _sort_key(row, exact))
    return list(zip(left, right, strict=True))


def _has_floats(rows: Sequence[Row], at: int) -> bool:
    return any(isinstance(row[at], float) for row in rows)


def _sort_key(row: Row, exact: Sequence[bool]) -> tuple[object, ...]:
    first = tuple(_orderable(value) for value, is_exact in zip(row, exact, strict=True) if is_exact)
    return first + tuple(_orderable(value) for value, is_exact in zip(row, exact, strict=True) if not is_exact)


def _orderable(value: Value) -> tuple[int, object]:
    """Return a key by which values of one column can be sorted: NULL first, numbers by value, all else as text."""
    if value is None:
        return (0, 0)
    return (1, value) if _is_number(value) else (2, str(value))
